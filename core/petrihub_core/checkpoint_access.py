"""The checkpoints that somebody may use: their own, and those that others share with them."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import checkpoints
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoint_sharing import Shared, shared_with
from petrihub_core.errors import NotFound


async def usable(
    session: AsyncSession, person_id: str
) -> tuple[tuple[Checkpoint, ...], Mapping[str, str]]:
    """The checkpoints to start from, one's own first; and who shares those of others, by id."""
    mine = await checkpoints.restorable(session, person_id)
    others = await shared_with(session, person_id)
    sharers = {each.checkpoint.id: each.sharer for each in others}
    return (*mine, *(each.checkpoint for each in others)), sharers


async def seen(
    session: AsyncSession, person_id: str, checkpoint_id: str
) -> tuple[Checkpoint, Shared | None]:
    """A checkpoint of one's own, or one that is shared with this person and how.

    Raises `NotFound` for everything else.
    """
    try:
        return await checkpoints.mine(session, person_id, checkpoint_id), None
    except NotFound:
        found = await shared_with(session, person_id, checkpoint_id)
        if not found:
            raise
        return found[0].checkpoint, found[0]
