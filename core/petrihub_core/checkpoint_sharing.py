"""Whether somebody may use a checkpoint of somebody else: decided anew at each use.

A share counts while it was not ended, has not expired, and both accounts are open; one with a
group counts for those who are in it at that moment. What was saved on top of a shared checkpoint
is its new owner's, whatever becomes of the share.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, defer

from petrihub_core.checkpoint_records import Checkpoint, SidecarInstance
from petrihub_core.checkpoint_share_records import CheckpointShare
from petrihub_core.errors import NotAllowed
from petrihub_core.records import GroupMember, Person
from petrihub_core.share_terms import in_force

_DONE = "done"  # of `checkpoints.State`, which stands on this module


class Mode(StrEnum):
    """What a share allows: to start from it, or also to save one's own on top of it."""

    READ = "read"
    DERIVE = "derive"


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A checkpoint of `sharer` that somebody may use; `until` None: no end is set."""

    checkpoint: Checkpoint
    sharer: str
    mode: Mode
    until: datetime | None


async def shared_with(
    session: AsyncSession, person_id: str, checkpoint_id: str | None = None
) -> list[Shared]:
    """What others share with this person now, newest first; without the lists of changed files."""
    owner, me = aliased(Person), aliased(Person)
    groups = select(GroupMember.group_id).where(GroupMember.person_id == person_id)
    query = (
        select(CheckpointShare, Checkpoint, owner.username)
        .join(Checkpoint, Checkpoint.id == CheckpointShare.checkpoint_id)
        .join(owner, owner.id == Checkpoint.owner)
        .join(me, me.id == person_id)
        .where(
            or_(CheckpointShare.person_id == person_id, CheckpointShare.group_id.in_(groups)),
            Checkpoint.owner != person_id,
            Checkpoint.state == _DONE,
            owner.active,
            me.active,
            *in_force(CheckpointShare),
        )
        .order_by(Checkpoint.created_at.desc(), Checkpoint.id)
        .options(defer(Checkpoint.changes))
    )
    if checkpoint_id is not None:
        query = query.where(Checkpoint.id == checkpoint_id)
    found: dict[str, Shared] = {}
    for share, row, sharer in await session.execute(query):
        one = Shared(checkpoint=row, sharer=sharer, mode=Mode(share.mode), until=share.expires_at)
        found[row.id] = _wider(found.get(row.id), one)
    return list(found.values())


def _wider(known: Shared | None, other: Shared) -> Shared:
    if known is None:
        return other
    if known.mode != other.mode:
        return known if known.mode is Mode.DERIVE else other
    if known.until is None or (other.until is not None and known.until >= other.until):
        return known
    return other


async def require_startable(session: AsyncSession, person_id: str, checkpoint: Checkpoint) -> None:
    """Raises `NotAllowed` if this person may not start from it in this moment."""
    if checkpoint.owner != person_id and not await shared_with(session, person_id, checkpoint.id):
        raise NotAllowed(
            f"The checkpoint {checkpoint.name} is not shared with you any more.",
            hint="Choose another one or a fresh start, or ask its owner.",
        )


async def require_savable(session: AsyncSession, instance: SidecarInstance) -> None:
    """Raises `NotAllowed` if what this workspace was started from may not be built on now."""
    if instance.checkpoint_id is None:
        return
    source = await session.get(Checkpoint, instance.checkpoint_id)
    if source is not None and source.owner == instance.owner:
        return
    # one's own cannot be deleted while something runs from it: what is gone was another's
    found = await shared_with(session, instance.owner, source.id) if source else []
    if source is None or not found:
        name = source.name if source else "a checkpoint"
        raise NotAllowed(
            f"{instance.workspace} was started from {name}, which is not shared with you "
            "any more, so it cannot be saved.",
            hint="Your files in the home are kept. Ask the owner to share it again.",
        )
    if found[0].mode is not Mode.DERIVE:
        raise NotAllowed(
            f"{found[0].sharer} shares {source.name} read-only: you may start from it, but not "
            "save what you make of it.",
            hint=f"Ask {found[0].sharer} to let you build on it.",
        )


async def may_build_on(session: AsyncSession, person_id: str, checkpoint: Checkpoint) -> bool:
    """Whether this person may save what they make of it, as things are now."""
    if checkpoint.owner == person_id:
        return True
    found = await shared_with(session, person_id, checkpoint.id)
    return bool(found) and found[0].mode is Mode.DERIVE
