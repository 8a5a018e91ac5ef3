"""The audit trail: in the transaction of the change, chained, bounded."""

import asyncio

import pytest
from sqlalchemy import delete, func, select, update

from petrihub_core import audit
from petrihub_core.database import Database
from petrihub_core.records import AuditRow


async def fill(database: Database, rows: int) -> None:
    for number in range(rows):
        async with database.session() as session:
            await audit.record(
                session, actor="ada", action="test", target=f"t{number}", detail={"n": number}
            )


async def first_bad(database: Database) -> int | None:
    async with database.session() as session:
        return await audit.verify(session)


async def test_an_untouched_trail_verifies(database: Database) -> None:
    assert await first_bad(database) is None
    await fill(database, 5)
    assert await first_bad(database) is None


@pytest.mark.parametrize(
    ("tampering", "found_at"),
    [
        (update(AuditRow).where(AuditRow.seq == 3).values(actor="eve"), 3),
        (update(AuditRow).where(AuditRow.seq == 2).values(detail={"n": 7}), 2),
        (delete(AuditRow).where(AuditRow.seq == 3), 4),
        (delete(AuditRow).where(AuditRow.seq == 1), 2),
    ],
    ids=["actor edited", "detail edited", "row removed", "first row removed"],
)
async def test_tampering_is_found(database: Database, tampering: object, found_at: int) -> None:
    await fill(database, 5)
    async with database.session() as session:
        await session.execute(tampering)  # type: ignore[call-overload]
    assert await first_bad(database) == found_at


async def test_writers_at_once_make_one_chain(database: Database) -> None:
    async def one(number: int) -> None:
        async with database.session() as session:
            await audit.record(session, actor=f"a{number}", action="test", target="t")

    await asyncio.gather(*(one(number) for number in range(20)))
    async with database.session() as session:
        assert await session.scalar(select(func.count()).select_from(AuditRow)) == 20
    assert await first_bad(database) is None


async def test_no_change_no_row(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.session() as session:
            await audit.record(session, actor="ada", action="test", target="t")
            raise ZeroDivisionError
    async with database.session() as session:
        assert await session.scalar(select(AuditRow)) is None


async def test_a_megabyte_of_name_is_one_bounded_record(database: Database) -> None:
    long = "\n\x1b[31m" + "x" * 10**6
    async with database.session() as session:
        await audit.record(session, actor=long, action=long, target=long, detail={"d": long})
    async with database.session() as session:
        row = await session.get_one(AuditRow, 1)
        assert len(row.actor) <= 64
        assert len(row.target) <= 160
        assert len(row.detail["d"]) <= 160
    assert await first_bad(database) is None
