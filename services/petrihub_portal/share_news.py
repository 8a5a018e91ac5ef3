"""What people read in their feeds about shares."""

from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.feed import Kind, Line, tell
from petrihub_core.records import Group, Person, WorkspaceShare
from petrihub_core.web import PORTAL_PREFIX
from petrihub_portal.doors import Mode, Place
from petrihub_portal.giving import tell_target

MODE_WORDS = {Mode.VIEW: "view only", Mode.WORK: "work together"}


async def tell_guests(
    session: AsyncSession, owner: Person, row: WorkspaceShare, target: Person | Group
) -> None:
    """Tell those who may come in now: one person, or the members of a group."""
    place = Place(owner.username, row.workspace)
    line = Line(
        kind=Kind.SHARED,
        title=f"{owner.username} shares {row.workspace} with you",
        text="You may look." if row.mode == Mode.VIEW else "You may look and work in it.",
        link=place.path,  # kept for long: the site leads on to wherever the origin is then
        link_title="Open",
    )
    await tell_target(session, owner, target, line)


async def tell_owner(
    session: AsyncSession, owner_id: str, person: Person, row: WorkspaceShare
) -> None:
    """Tell the owner that somebody came by a link."""
    came = Line(
        kind=Kind.SHARED,
        title=f"{person.username} came by your link",
        text=f"They are now let into {row.workspace}: {MODE_WORDS[Mode(row.mode)]}.",
        link=f"{PORTAL_PREFIX}workspaces/{row.workspace}/sharing",
        link_title="See who is inside",
    )
    await tell(session, owner_id, came)
