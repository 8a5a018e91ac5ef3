"""Our tables on SQLite and PostgreSQL: migrations, transactions, two writers."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import NullPool, create_engine, func, select, text
from sqlalchemy.exc import StatementError

from petrihub_core import migrations
from petrihub_core.database import Database, migrate
from petrihub_core.errors import ConfigError, Conflict
from petrihub_core.people import LOCAL_ISSUER, by_username, person_for
from petrihub_core.records import Account, Person, Record, SignInLink, Throttle
from petrihub_core.roles import SUPER_ADMIN, Permission, permissions_of, roles_of

from tests.cli.older import sync
from tests.conftest import postgres_database


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


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'older.sqlite'}"
    return await postgres_database(request.getfixturevalue("postgres"))


def _first_tables(url: str) -> None:
    engine = create_engine(sync(url), poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")


async def _old_release(url: str) -> None:
    """A database as the release before this one left it: an administrator, a researcher, links."""
    await asyncio.to_thread(_first_tables, url)
    at = "2026-01-02 03:04:05+00:00"
    opened = Database.open(url)
    async with opened.session() as session:
        for name, role in (("boss", "admin"), ("ada", "researcher")):
            await session.execute(
                text(
                    "INSERT INTO people (id, issuer, subject, username, role, active, created_at) "
                    f"VALUES ('{name}', 'local', '{name}', '{name}', '{role}', true, '{at}')"
                )
            )
            await session.execute(
                text(
                    "INSERT INTO accounts (person_id, password_hash, changed_at) "
                    f"VALUES ('{name}', 'hash of {name}', '{at}')"
                )
            )
        for role in ("admin", "researcher"):
            await session.execute(
                text(
                    "INSERT INTO sign_in_links (id, kind, code_hash, role, created_by, created_at, "
                    f"expires_at) VALUES ('{role}', 'invite', '{role}', '{role}', 'boss', '{at}', "
                    "'2999-01-02 03:04:05+00:00')"
                )
            )
    await opened.close()


async def test_an_older_release_keeps_its_people_passwords_and_links(empty_url: str) -> None:
    """Its administrators become super admins, also those who are only invited yet."""
    await _old_release(empty_url)
    await migrate(empty_url)
    database = Database.open(empty_url)
    async with database.session() as session:
        people = {each.username: each for each in await session.scalars(select(Person))}
        assert set(people) == {"boss", "ada"}
        assert await roles_of(session, people["boss"].id) == [SUPER_ADMIN]
        assert await roles_of(session, people["ada"].id) == []
        assert await permissions_of(session, people["boss"]) == frozenset(Permission)
        for name, person in people.items():
            account = await session.get_one(Account, person.id)
            assert account.password_hash == f"hash of {name}"
            assert (person.email, person.sessions_to_end) == (None, False)
        links = {each.id: each for each in await session.scalars(select(SignInLink))}
        assert links["admin"].role == SUPER_ADMIN
        assert links["researcher"].role == "researcher"
        assert links["researcher"].groups == []
        await session.execute(text("DELETE FROM people"))
        assert list(await session.scalars(select(Account))) == [], "they still belong together"
    await database.close()


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
