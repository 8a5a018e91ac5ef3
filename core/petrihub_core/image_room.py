"""Room that checkpoints take in the image server, by person. A layer counts once for each of them:
the images below are shared, and are nobody's.
"""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import State
from petrihub_core.records import Person


@dataclass(frozen=True, kw_only=True)
class Room:
    """What one person's checkpoints take."""

    username: str
    checkpoints: int
    bytes: int


async def room_by_person(session: AsyncSession, owner: str | None = None) -> list[Room]:
    """Everybody who has checkpoints, or this one person, the largest first."""
    layers = (
        select(
            Checkpoint.owner,
            func.count(Checkpoint.id).label("count"),
            func.max(Checkpoint.layer_size).label("size"),
        )
        .where(Checkpoint.state == State.DONE)
        .group_by(Checkpoint.owner, Checkpoint.layer_digest)
    )
    if owner is not None:
        layers = layers.where(Checkpoint.owner == owner)
    each = layers.subquery()
    taken = func.sum(each.c.size)
    rows = await session.execute(
        select(Person.username, func.sum(each.c.count), taken)
        .join(each, each.c.owner == Person.id)
        .group_by(Person.username)
        .order_by(taken.desc(), Person.username)
    )
    return [
        Room(username=name, checkpoints=int(count), bytes=int(size)) for name, count, size in rows
    ]
