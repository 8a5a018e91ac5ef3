"""The feed of a person: what happened, with the reason and the next step."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.records import Notification

KEPT = 200  # lines of one person; older ones are forgotten


class Kind(StrEnum):
    """What a line of the feed is about."""

    FINISHED = "finished"
    FAILED = "failed"
    STOPPING = "stopping"
    GRANTED = "granted"
    DECLINED = "declined"
    SHARED = "shared"
    ASKED = "asked"


@dataclass(frozen=True, kw_only=True)
class Line:
    """What is told; of lines with the same `key` only the first counts.

    `link` is the next step as an address of this site that begins with a slash.
    """

    kind: Kind
    title: str
    text: str = ""
    link: str = ""
    link_title: str = ""
    key: str | None = None


async def tell(session: AsyncSession, person_id: str, line: Line) -> None:
    """Add a line to the person's feed in the caller's transaction."""
    if line.key is not None and await session.scalar(
        select(Notification.id).where(Notification.key == line.key)
    ):
        return
    try:
        async with session.begin_nested():
            session.add(_row(person_id, line))
    except IntegrityError:
        if line.key is None:
            raise
        return  # somebody else told it in this moment
    await _forget_old(session, person_id)


def _row(person_id: str, line: Line) -> Notification:
    return Notification(
        person_id=person_id,
        kind=line.kind,
        title=line.title[:160],
        text=line.text[:1000],
        link=line.link[:300],
        link_title=line.link_title[:64],
        key=line.key,
    )


async def _forget_old(session: AsyncSession, person_id: str) -> None:
    mine = Notification.person_id == person_id
    count = await session.scalar(select(func.count()).select_from(Notification).where(mine))
    if (count or 0) <= KEPT:
        return
    kept = select(Notification.id).where(mine).order_by(Notification.at.desc()).limit(KEPT)
    await session.execute(delete(Notification).where(mine, Notification.id.not_in(kept)))
