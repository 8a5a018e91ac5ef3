"""The audit trail: rows written in the transaction of the change, each chained to the one before.

The chain shows edits, insertions and re-ordering inside the table. A cut at the end shows only
against a copy of the newest digest kept elsewhere.
"""

import hashlib
import json

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.records import AuditRow, Document, now

_GENESIS = "0" * 64
_FIELD_LIMIT = 160  # characters of a name or target; the rest says nothing that an auditor needs
_POSTGRES_LOCK = 0x70657472  # any number, the same for all writers of this table


def _digest(row: AuditRow) -> str:
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


def _bounded(value: object) -> object:
    if isinstance(value, str):
        return value[:_FIELD_LIMIT]
    return value if isinstance(value, bool | int | float | None) else str(value)[:_FIELD_LIMIT]


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
    if session.get_bind().dialect.name == "postgresql":
        # SQLite has one writer at a time by nature; here two could read the same newest row
        await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
    newest = await session.scalar(select(AuditRow).order_by(AuditRow.seq.desc()).limit(1))
    row = AuditRow(
        seq=newest.seq + 1 if newest else 1,
        at=now(),
        actor=actor[:64],
        action=action[:64],
        target=target[:_FIELD_LIMIT],
        outcome=outcome,
        detail={key: _bounded(value) for key, value in (detail or {}).items()},
        previous=newest.digest if newest else _GENESIS,
        digest="",
    )
    row.digest = _digest(row)
    session.add(row)
    await session.flush()


async def verify(session: AsyncSession) -> int | None:
    """The number of the first row that does not fit the chain; None if all do."""
    previous, expected = _GENESIS, 1
    rows = await session.stream_scalars(select(AuditRow).order_by(AuditRow.seq))
    async for row in rows:
        if row.seq != expected or row.previous != previous or row.digest != _digest(row):
            return row.seq
        previous, expected = row.digest, row.seq + 1
    return None
