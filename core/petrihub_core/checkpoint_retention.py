"""Automatic saves that are old go by themselves; how many of a workspace stay, its profile says.

One goes only if nobody has given it a name, shares it, made something else from it, or runs it.
"""

from itertools import groupby, islice

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, defer

from petrihub_core import checkpoints
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoint_share_records import CheckpointShare
from petrihub_core.checkpoints import SYSTEM, State
from petrihub_core.errors import Conflict
from petrihub_core.menu import Menu
from petrihub_core.records import Person
from petrihub_core.share_terms import in_force


async def forget_old(session: AsyncSession, menu: Menu) -> int:
    """Delete what the profiles do not keep any more; how many. The image server forgets them."""
    rows = await session.scalars(
        select(Checkpoint)
        .where(Checkpoint.at_stop, Checkpoint.author == SYSTEM, Checkpoint.state == State.DONE)
        .order_by(Checkpoint.owner, Checkpoint.workspace, Checkpoint.sequence.desc())
        .options(defer(Checkpoint.changes))
    )
    forgotten = 0
    for _, saves in groupby(rows.all(), lambda each: (each.owner, each.workspace)):
        newest_first = list(saves)
        profile = menu.profile(newest_first[0].profile)
        if profile is None:
            continue
        for row in islice(newest_first, profile.keep_saves, None):
            forgotten += await _forget(session, row)
    return forgotten


async def _forget(session: AsyncSession, row: Checkpoint) -> bool:
    if await _is_used(session, row):
        return False
    person = await session.get_one(Person, row.owner)
    try:
        async with session.begin_nested():
            await checkpoints.delete(session, SYSTEM, person, row.id)
    except Conflict:  # it runs
        return False
    return True


async def _is_used(session: AsyncSession, row: Checkpoint) -> bool:
    """Whether it is shared, or anything but the next save of the same workspace is made from it."""
    child = aliased(Checkpoint)
    made = select(child.id).where(
        child.parent_id == row.id,
        or_(
            child.owner != row.owner,
            child.workspace != row.workspace,
            child.author != SYSTEM,
        ),
    )
    shared = select(CheckpointShare.id).where(
        CheckpointShare.checkpoint_id == row.id, *in_force(CheckpointShare)
    )
    for query in (made, shared):
        if await session.scalar(query.limit(1)) is not None:
            return True
    return False
