"""The feed of a person: what happened, with the reason and the next step."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.records import Notification


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
    """What is told; `link` is the next step. Of lines with the same `key` only the first counts."""

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
    session.add(
        Notification(
            person_id=person_id,
            kind=line.kind,
            title=line.title[:160],
            text=line.text[:1000],
            link=line.link[:300],
            link_title=line.link_title[:64],
            key=line.key,
        )
    )
    await session.flush()
