"""Our tables on SQLite and PostgreSQL: migrations, transactions, two writers."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select
from sqlalchemy.exc import StatementError

from petrihub_core.database import Database, migrate
from petrihub_core.errors import ConfigError, Conflict
from petrihub_core.people import LOCAL_ISSUER, by_username, person_for
from petrihub_core.records import Person, Record, Throttle


async def test_the_migrations_make_exactly_the_tables_of_the_code(database: Database) -> None:
    async with database.session() as session:
        connection = await session.connection()
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), Record.metadata)
        )
    assert differences == []


async def test_migrating_again_changes_nothing(database: Database, database_url: str) -> None:
    async with database.session() as session:
        ada = await person_for(session, LOCAL_ISSUER, "1", username="ada")
    await migrate(database_url)
    async with database.session() as session:
        assert (await session.get_one(Person, ada.id)).username == "ada"


async def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.session() as session:
            await person_for(session, LOCAL_ISSUER, "1", username="ada")
            raise ZeroDivisionError
    async with database.session() as session:
        assert await by_username(session, "ada") is None


async def test_a_time_comes_back_as_the_same_moment(database: Database) -> None:
    there = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=timezone(timedelta(hours=9)))
    async with database.session() as session:
        session.add(Throttle(key="k", blocked_until=there))
    async with database.session() as session:
        row = await session.get_one(Throttle, "k")
        assert row.blocked_until == there
        assert row.blocked_until.tzinfo is UTC


async def test_a_time_without_zone_is_not_stored(database: Database) -> None:
    with pytest.raises(StatementError, match="needs a zone"):
        async with database.session() as session:
            session.add(Throttle(key="k", blocked_until=datetime(2026, 1, 2)))


async def test_many_writers_at_once_lose_no_count(database: Database) -> None:
    async with database.session() as session:
        session.add(Throttle(key="k"))

    async def count_one() -> None:
        async with database.session() as session:
            row = await session.get_one(Throttle, "k", with_for_update=True)
            row.failures += 1

    await asyncio.gather(*(count_one() for _ in range(25)))
    async with database.session() as session:
        assert (await session.get_one(Throttle, "k")).failures == 25


async def test_a_name_belongs_to_one_person(database: Database) -> None:
    async with database.session() as session:
        ada = await person_for(session, LOCAL_ISSUER, "1", username="ada")
        assert await person_for(session, LOCAL_ISSUER, "1", username="other") is ada
        with pytest.raises(Conflict, match="taken"):
            await person_for(session, "https://idp.example", "1", username="ada")
    async with database.session() as session:
        assert await session.scalar(select(func.count()).select_from(Person)) == 1


@pytest.mark.parametrize("url", ["", "nonsense", "martian://x/y"])
def test_an_unusable_address_is_refused_in_words(url: str) -> None:
    with pytest.raises(ConfigError):
        Database.open(url)
