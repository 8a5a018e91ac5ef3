"""Sharing a checkpoint: its owner gives leave, takes it back, and sees who used it.

What a share allows is decided at each use, in `petrihub_core.checkpoint_sharing`; what holds for
all shares is in `giving`.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit, checkpoints
from petrihub_core.checkpoint_records import Checkpoint, SidecarInstance
from petrihub_core.checkpoint_share_records import CheckpointShare
from petrihub_core.checkpoint_sharing import Mode
from petrihub_core.checkpoints import State
from petrihub_core.errors import Conflict
from petrihub_core.records import Person
from petrihub_portal import giving
from petrihub_portal.checkpoint_share_news import tell_owner, tell_users
from petrihub_portal.giving import Made, Thing, Wish


@dataclass(frozen=True, kw_only=True)
class Start:
    """Somebody else's workspace that was started from a checkpoint; `at` the last time."""

    person: str
    workspace: str
    at: datetime


def shared(owner: Person, checkpoint: Checkpoint) -> Thing[CheckpointShare]:
    """The checkpoint as something that can be shared."""
    return Thing(
        table=CheckpointShare,
        what="checkpoint",
        owner=owner,
        named={"checkpoint_id": checkpoint.id},
    )


async def starts_by_others(session: AsyncSession, checkpoint: Checkpoint) -> list[Start]:
    """Who else started from it, newest first: each workspace once."""
    latest = func.max(SidecarInstance.created_at)
    rows = await session.execute(
        select(Person.username, SidecarInstance.workspace, latest)
        .join(Person, Person.id == SidecarInstance.owner)
        .where(
            SidecarInstance.checkpoint_id == checkpoint.id,
            SidecarInstance.owner != checkpoint.owner,
        )
        .group_by(Person.username, SidecarInstance.workspace)
        .order_by(latest.desc())
        .limit(200)
    )
    return [Start(person=name, workspace=workspace, at=at) for name, workspace, at in rows]


async def share(
    session: AsyncSession, owner: Person, checkpoint_id: str, wish: Wish
) -> Made[CheckpointShare]:
    """Let somebody start from one's checkpoint, or change how; with audit row and a line for them.

    Raises as `giving.give`, and `Conflict` where it is not saved.
    """
    checkpoint = await checkpoints.mine(session, owner.id, checkpoint_id, lock=True)
    if checkpoint.state != State.DONE:
        raise Conflict("This is not saved, so it cannot be shared.", hint="Wait until it is.")
    made = await giving.give(session, shared(owner, checkpoint), wish)
    what = "changed" if made.changed else "made"
    await _note(session, owner.username, what, checkpoint, made.share)
    if not made.changed and made.target is not None:
        await tell_users(session, owner, checkpoint, Mode(made.share.mode), made.target)
    return made


async def end_one(session: AsyncSession, owner: Person, checkpoint_id: str, share_id: str) -> None:
    """End one share of one's own checkpoint, with those who came by it; raises `NotFound`."""
    checkpoint = await checkpoints.mine(session, owner.id, checkpoint_id)
    row = await giving.find(session, shared(owner, checkpoint), share_id)
    await _end(session, owner, checkpoint, [row])


async def end_all(session: AsyncSession, owner: Person, checkpoint_id: str) -> None:
    """End every share of one's own checkpoint."""
    checkpoint = await checkpoints.mine(session, owner.id, checkpoint_id)
    rows = await giving.find_all(session, shared(owner, checkpoint))
    await _end(session, owner, checkpoint, rows)


async def _end(
    session: AsyncSession, owner: Person, checkpoint: Checkpoint, rows: list[CheckpointShare]
) -> None:
    for each in await giving.end(session, CheckpointShare, rows):
        await _note(session, owner.username, "ended", checkpoint, each)


async def join(session: AsyncSession, person: Person, code: str) -> CheckpointShare:
    """Take a link; raises `NotFound`, or `Conflict` for one's own and where there are too many."""
    link, owner = await giving.link_of(session, CheckpointShare, code)
    checkpoint = await session.get_one(Checkpoint, link.checkpoint_id)
    if checkpoint.state != State.DONE:
        raise giving.not_valid()
    if owner.id == person.id:
        raise Conflict(
            "This link leads to your own checkpoint.", hint="Send it to whom it is meant for."
        )
    row, new = await giving.follow(session, shared(owner, checkpoint), link, person)
    if new:
        await _note(session, person.username, "joined", checkpoint, row)
        await tell_owner(session, owner.id, person, checkpoint, Mode(row.mode))
    return row


async def _note(
    session: AsyncSession, by: str, what: str, checkpoint: Checkpoint, row: CheckpointShare
) -> None:
    await audit.record(
        session,
        actor=by,
        action=f"checkpoint.share.{what}",
        target=f"{checkpoint.owner}/{checkpoint.workspace}/{checkpoint.id}",
        detail=await giving.described(session, row) | {"name": checkpoint.name},
    )
