"""Reading the audit trail: search, pages, and an export that never holds more than one page."""

import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.audit import COLUMNS, Line, head
from petrihub_core.database import Database
from petrihub_core.records import AuditRow

OUTCOMES = ("ok", "refused", "failed")
_STEP = 1000  # rows that an export holds at once
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Found = Sequence[Line]


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What is looked for; an empty field does not filter.

    `actor` and `outcome` must be equal, `target` must be contained. An `action` that ends with a
    dot means all that begin so: "person." finds "person.created". `since` is the first moment that
    counts, `until` the first that no longer does.
    """

    actor: str = ""
    action: str = ""
    target: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The filter in SQL."""
        found: list[ColumnElement[bool]] = []
        if self.actor:
            found.append(AuditRow.actor == self.actor)
        if self.action.endswith("."):
            found.append(AuditRow.action.startswith(self.action, autoescape=True))
        elif self.action:
            found.append(AuditRow.action == self.action)
        if self.target:
            found.append(AuditRow.target.contains(self.target, autoescape=True))
        if self.outcome:
            found.append(AuditRow.outcome == self.outcome)
        if self.since:
            found.append(AuditRow.at >= self.since)
        if self.until:
            found.append(AuditRow.at < self.until)
        return found


async def search(
    session: AsyncSession, wanted: Filter, *, limit: int, before: int | None = None
) -> Found:
    """The matching rows, newest first; `before` is the number of the last row of the page before.

    A page costs the same however far back it is.
    """
    query = select(*COLUMNS).where(*wanted.conditions())
    if before is not None:
        query = query.where(AuditRow.seq < before)
    return (await session.execute(query.order_by(AuditRow.seq.desc()).limit(limit))).all()


async def one(session: AsyncSession, seq: int) -> Line | None:
    """The row with this number."""
    return (await session.execute(select(*COLUMNS).where(AuditRow.seq == seq))).first()


async def actions(session: AsyncSession) -> list[str]:
    """Every action that is in the trail, in the alphabet's order.

    Jumps from one to the next in the index: reading all rows would take longer than the page.
    """
    found = select(func.min(AuditRow.action).label("action")).cte("found", recursive=True)
    following = select(func.min(AuditRow.action)).where(AuditRow.action > found.c.action)
    found = found.union_all(select(following.scalar_subquery()).where(found.c.action.is_not(None)))
    rows = await session.scalars(select(found.c.action).where(found.c.action.is_not(None)))
    return list(rows)


async def matching(database: Database, wanted: Filter) -> AsyncIterator[Found]:
    """All matching rows up to now, oldest first, in pieces that each are a look of their own.

    No transaction stays open while a slow reader takes them, so no writer ever waits.
    """
    async with database.reading() as session:
        newest = (await head(session)).seq
    last = 0
    while True:
        async with database.reading() as session:
            rows = (
                await session.execute(
                    select(*COLUMNS)
                    .where(*wanted.conditions(), AuditRow.seq > last, AuditRow.seq <= newest)
                    .order_by(AuditRow.seq)
                    .limit(_STEP)
                )
            ).all()
        if not rows:
            return
        yield rows
        last = rows[-1].seq


def as_document(row: Line) -> dict[str, Any]:
    """A row for JSON, with what the chain is made of."""
    return {
        "seq": row.seq,
        "at": row.at.isoformat(),
        "actor": row.actor,
        "action": row.action,
        "target": row.target,
        "outcome": row.outcome,
        "detail": row.detail,
        "previous": row.previous,
        "digest": row.digest,
    }


async def json_lines(database: Database, wanted: Filter) -> AsyncIterator[bytes]:
    """The export for machines: one JSON object a line, in plain ASCII, exact."""
    async for rows in matching(database, wanted):
        yield "".join(json.dumps(as_document(row)) + "\n" for row in rows).encode()


def _cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = value if isinstance(value, str) else json.dumps(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


async def csv_lines(database: Database, wanted: Filter) -> AsyncIterator[bytes]:
    """The export for spreadsheets. A cell that begins like a formula gets a ' before it."""
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    writer.writerow([column.key for column in COLUMNS])
    async for rows in matching(database, wanted):
        for row in rows:
            writer.writerow([_cell(value) for value in as_document(row).values()])
        yield sheet.getvalue().encode()
        sheet.seek(0)
        sheet.truncate()
    if sheet.tell():
        yield sheet.getvalue().encode()  # nothing matched: the head alone
