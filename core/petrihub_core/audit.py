"""The audit trail: rows written in the transaction of the change, each chained to the one before.

The chain shows edits, insertions and re-ordering inside the table. A cut at the end, or a chain
that was made anew as a whole, shows only against newest digests kept elsewhere: `audit_heads`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.records import AuditRow, Document, now

_GENESIS = "0" * 64
_FIELD_LIMIT = 160  # characters of a name or target; the rest says nothing that an auditor needs
_NAME_LIMIT = 64
_CUT = "…"  # a field that was cut says so
_POSTGRES_LOCK = 0x70657472  # any number, the same for all writers of this table
_STEP = 2000  # rows that are held in memory at once
_CLOCK_SLACK = timedelta(minutes=5)  # machines of one deployment may differ by less


# the columns instead of the object: a session may hold an object that is older than its row
COLUMNS = (
    AuditRow.seq,
    AuditRow.at,
    AuditRow.actor,
    AuditRow.action,
    AuditRow.target,
    AuditRow.outcome,
    AuditRow.detail,
    AuditRow.previous,
    AuditRow.digest,
)

Line = Row[int, datetime, str, str, str, str, Document, str, str]


def _digest(row: AuditRow | Line) -> str:
    material = json.dumps(
        [
            row.seq,
            row.at.isoformat(),
            row.actor,
            row.action,
            row.target,
            row.outcome,
            row.detail,
            row.previous,
        ],
        sort_keys=True,
        ensure_ascii=True,
    )
    return hashlib.sha256(material.encode()).hexdigest()


def _escaped(value: str, limit: int) -> str:
    """One line of visible characters: what steers a terminal, a log or a page is spelled out."""
    shown = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in value[:limit]
    )
    if len(value) > limit or len(shown) > limit:
        return shown[: limit - 1] + _CUT
    return shown


def _bounded(value: object) -> object:
    if isinstance(value, bool | int | float | None):
        return value
    return _escaped(value if isinstance(value, str) else str(value), _FIELD_LIMIT)


async def record(
    session: AsyncSession,
    *,
    actor: str,
    action: str,
    target: str,
    outcome: str = "ok",
    detail: Document | None = None,
) -> None:
    """Append one row in the caller's transaction: no change without its row, no row without it.

    `outcome` is "ok", "refused" or "failed". Never put a secret into `detail`.
    """
    event = Event(action, target, detail or {}, outcome)
    await record_all(session, actor=actor, events=[event])


@dataclass(frozen=True)
class Event:
    """One row of many that are written at once; the fields are those of `record`."""

    action: str
    target: str
    detail: Document
    outcome: str = "ok"


async def record_all(session: AsyncSession, *, actor: str, events: Sequence[Event]) -> None:
    """As `record` for each event in order, in a few statements however many there are."""
    if session.get_bind().dialect.name == "postgresql":
        # SQLite has one writer at a time by nature; here two could read the same newest row
        await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
    newest = await head(session)
    for event in events:
        row = AuditRow(
            seq=newest.seq + 1,
            at=now(),
            actor=_escaped(actor, _NAME_LIMIT),
            action=_escaped(event.action, _NAME_LIMIT),
            target=_escaped(event.target, _FIELD_LIMIT),
            outcome=event.outcome,
            detail={key: _bounded(value) for key, value in event.detail.items()},
            previous=newest.digest,
            digest="",
        )
        row.digest = _digest(row)
        session.add(row)
        newest = Head(row.seq, row.digest)
    await session.flush()


@dataclass(frozen=True)
class Head:
    """The newest row's number and digest: whoever keeps it elsewhere can prove what was there."""

    seq: int
    digest: str


async def head(session: AsyncSession) -> Head:
    """The head of the chain; number 0 before the first row."""
    newest = (
        await session.execute(
            select(AuditRow.seq, AuditRow.digest).order_by(AuditRow.seq.desc()).limit(1)
        )
    ).first()
    return Head(newest.seq, newest.digest) if newest else Head(0, _GENESIS)


@dataclass(frozen=True)
class Flaw:
    """The first row that does not fit, and what is wrong with it."""

    seq: int
    why: str


@dataclass(frozen=True)
class Place:
    """How far a check has come: it goes on from here, in this process or another.

    `turned_back` is the first row that is clearly older than the row before it: somebody set the
    clock. It is no flaw of the chain.
    """

    seq: int = 0
    digest: str = _GENESIS
    at: datetime | None = None
    turned_back: int | None = None


async def verify_step(session: AsyncSession, place: Place, rows: int = _STEP) -> Place | Flaw:
    """Check the next rows; the place reached (the same one at the end), or the first flaw."""
    found = await session.execute(
        select(*COLUMNS).where(AuditRow.seq > place.seq).order_by(AuditRow.seq).limit(rows)
    )
    for row in found:
        if row.seq != place.seq + 1:
            return Flaw(row.seq, f"The row before it, number {row.seq - 1}, is missing.")
        if row.previous != place.digest:
            return Flaw(row.seq, "It does not follow from the row before it.")
        if row.digest != _digest(row):
            return Flaw(row.seq, "Its content is not what was written.")
        back = place.at is not None and row.at < place.at - _CLOCK_SLACK
        turned = place.turned_back or (row.seq if back else None)
        place = Place(row.seq, row.digest, row.at, turned)
    return place


async def verify(session: AsyncSession) -> int | None:
    """The number of the first row that does not fit the chain; None if all do."""
    place = Place()
    while True:
        reached = await verify_step(session, place)
        if isinstance(reached, Flaw):
            return reached.seq
        if reached == place:
            return None
        place = reached
