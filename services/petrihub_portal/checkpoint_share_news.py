"""What people read in their feeds about shared checkpoints."""

from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoint_sharing import Mode
from petrihub_core.feed import Kind, Line, tell
from petrihub_core.records import Group, Person
from petrihub_core.web import PORTAL_PREFIX
from petrihub_portal.giving import tell_target

MODE_WORDS = {Mode.READ: "read-only", Mode.DERIVE: "build on it"}


async def tell_users(
    session: AsyncSession, owner: Person, row: Checkpoint, mode: Mode, target: Person | Group
) -> None:
    """Tell those who may start from it now: one person, or the members of a group."""
    derive = "You may start from it and save what you make of it."
    line = Line(
        kind=Kind.SHARED,
        title=f"{owner.username} shares the checkpoint {row.name} with you",
        text=derive if mode is Mode.DERIVE else "You may start from it.",
        link=f"{PORTAL_PREFIX}checkpoints#checkpoint-{row.id}",
        link_title="Look at it",
    )
    await tell_target(session, owner, target, line)


async def tell_owner(
    session: AsyncSession, owner_id: str, person: Person, row: Checkpoint, mode: Mode
) -> None:
    """Tell the owner that somebody came by a link."""
    came = Line(
        kind=Kind.SHARED,
        title=f"{person.username} came by your link",
        text=f"They may now start from {row.name}: {MODE_WORDS[mode]}.",
        link=f"{PORTAL_PREFIX}checkpoints/{row.id}/sharing",
        link_title="See who has it",
    )
    await tell(session, owner_id, came)
