"""My feed: what happened, newest first, and what of it I have read."""

from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.records import Notification, Person, now


async def lines_of(
    session: AsyncSession, person: Person, *, limit: int, offset: int
) -> Sequence[Notification]:
    """The person's lines, newest first."""
    rows = await session.scalars(
        select(Notification)
        .where(Notification.person_id == person.id)
        .order_by(Notification.at.desc(), Notification.id)
        .limit(limit)
        .offset(offset)
    )
    return list(rows)


async def count(session: AsyncSession, person: Person, *, unread: bool = False) -> int:
    """How many lines the person has, or has not read."""
    query = select(func.count()).where(Notification.person_id == person.id)
    if unread:
        query = query.where(Notification.read_at.is_(None))
    return await session.scalar(query) or 0


async def mark_read(session: AsyncSession, person: Person, ids: Sequence[str] | None) -> int:
    """Mark these lines as read, or all of them; how many were unread. Others' are not touched."""
    query = (
        update(Notification)
        .where(Notification.person_id == person.id, Notification.read_at.is_(None))
        .values(read_at=now())
        .returning(Notification.id)
    )
    if ids is not None:
        query = query.where(Notification.id.in_(ids))
    return len(list(await session.scalars(query)))
