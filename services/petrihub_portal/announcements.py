"""Announcements: words of an administrator to everybody, for a time. Text, never HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit
from petrihub_core.errors import Conflict, NotFound, Refused
from petrihub_core.records import Announcement, now
from petrihub_core.roles import Actor, Permission

LONGEST = 500
LEVELS = ("info", "warning")


class Standing(StrEnum):
    """Whether people see it."""

    SHOWN = "shown"
    PLANNED = "planned"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What an administrator wrote; `starts_at` None: at once, `ends_at` None: until it is ended."""

    text: str
    level: str = "info"
    starts_at: datetime | None = None
    ends_at: datetime | None = None


def standing(row: Announcement, at: datetime) -> Standing:
    """Whether the announcement is shown at this moment."""
    if row.ends_at is not None and row.ends_at <= at:
        return Standing.ENDED
    return Standing.SHOWN if row.starts_at <= at else Standing.PLANNED


def _check(draft: Draft) -> Draft:
    text = " ".join(draft.text.split())
    if not text or len(text) > LONGEST or not text.isprintable():
        raise Refused(
            f"An announcement has between 1 and {LONGEST} characters.",
            hint="Say what happens, when, and what people should do.",
        )
    if draft.level not in LEVELS:
        raise Refused("There is no such level.", hint=f"Choose one of: {', '.join(LEVELS)}.")
    starts = draft.starts_at or now()
    if draft.ends_at is not None and draft.ends_at <= max(starts, now()):
        raise Refused(
            "It would end before anybody sees it.", hint="Choose a later end, or leave it empty."
        )
    return Draft(text=text, level=draft.level, starts_at=starts, ends_at=draft.ends_at)


async def announce(session: AsyncSession, actor: Actor, draft: Draft) -> Announcement:
    """A new announcement; raises `Refused` in words."""
    actor.require(Permission.ANNOUNCE)
    draft = _check(draft)
    row = Announcement(
        text=draft.text,
        level=draft.level,
        starts_at=draft.starts_at or now(),
        ends_at=draft.ends_at,
        by=actor.name,
    )
    session.add(row)
    await session.flush()
    await _note(session, actor, "announcement.made", row)
    return row


async def find(session: AsyncSession, announcement_id: str) -> Announcement:
    """The announcement; raises `NotFound`."""
    known = announcement_id.isascii() and announcement_id.isalnum() and len(announcement_id) == 32
    row = await session.get(Announcement, announcement_id) if known else None
    if row is None:
        raise NotFound("There is no such announcement.", hint="Look at the list again.")
    return row


async def edit(
    session: AsyncSession, actor: Actor, announcement_id: str, draft: Draft
) -> Announcement:
    """Say it in other words or at another time; raises `Conflict` if it has ended."""
    actor.require(Permission.ANNOUNCE)
    row = await find(session, announcement_id)
    _require_open(row)
    draft = _check(draft)
    row.text, row.level = draft.text, draft.level
    row.starts_at, row.ends_at = draft.starts_at or row.starts_at, draft.ends_at
    await session.flush()
    await _note(session, actor, "announcement.edited", row)
    return row


async def end(session: AsyncSession, actor: Actor, announcement_id: str) -> Announcement:
    """Show it no longer; it stays in the list. Raises `Conflict` if it has ended."""
    actor.require(Permission.ANNOUNCE)
    row = await find(session, announcement_id)
    _require_open(row)
    row.ends_at = now()
    await session.flush()
    await _note(session, actor, "announcement.ended", row)
    return row


async def listed(
    session: AsyncSession, *, limit: int, offset: int
) -> tuple[Sequence[Announcement], int]:
    """Those that are shown or planned first, each newest first; and how many there are."""
    open_first = or_(Announcement.ends_at.is_(None), Announcement.ends_at > now())
    rows = await session.scalars(
        select(Announcement)
        .order_by(open_first.desc(), Announcement.starts_at.desc(), Announcement.id)
        .limit(limit)
        .offset(offset)
    )
    total = await session.scalar(select(func.count()).select_from(Announcement))
    return list(rows), total or 0


def _require_open(row: Announcement) -> None:
    if standing(row, now()) is Standing.ENDED:
        raise Conflict("This announcement has ended.", hint="Make a new one.")


async def _note(session: AsyncSession, actor: Actor, action: str, row: Announcement) -> None:
    await audit.record(
        session,
        actor=actor.name,
        action=action,
        target=row.id,
        detail={
            "text": row.text,
            "level": row.level,
            "from": row.starts_at.isoformat(),
            "until": row.ends_at.isoformat() if row.ends_at else "",
        },
    )
