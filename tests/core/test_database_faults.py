"""A database that is locked, slow, hanging, away: errors in words, and then it goes on."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from petrihub_core import database as module
from petrihub_core.database import Database, migrate
from petrihub_core.errors import Unavailable

from tests.conftest import postgres_database


async def look(database: Database) -> int:
    async with database.session() as session:
        return int(await session.scalar(text("SELECT 1")) or 0)


async def test_a_locked_file_is_said_and_then_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F21."""
    monkeypatch.setattr(module, "_BUSY_MS", 300)
    file = tmp_path / "petrihub.sqlite"
    url = f"sqlite+aiosqlite:///{file}"
    await migrate(url)
    database = Database.open(url)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="does not answer"):
            await look(database)
        async with database.reading() as session:  # who only looks does not wait
            assert await session.scalar(text("SELECT count(*) FROM people")) == 0
        other.execute("COMMIT")
    assert await look(database) == 1
    await database.close()


async def test_many_writers_of_one_process_wait_in_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F21, F50: more of them, and for longer, than SQLite and the pool let anybody wait."""
    monkeypatch.setattr(module, "_BUSY_MS", 100)
    url = f"sqlite+aiosqlite:///{tmp_path / 'petrihub.sqlite'}"
    await migrate(url)
    database = Database.open(url)
    done = []

    async def write(number: int) -> None:
        async with database.session() as session:
            await session.execute(text("SELECT 1"))
            await asyncio.sleep(0.02)
            done.append(number)

    await asyncio.gather(*(write(number) for number in range(40)))
    assert done == list(range(40))
    await database.close()


@pytest.mark.postgres
async def test_a_slow_statement_and_a_full_server_are_said(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F21, F23."""
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 1)
    monkeypatch.setattr(module, "_POOL_SECONDS", 0.3)
    database = Database.open(await postgres_database(postgres))
    with pytest.raises(Unavailable, match="does not answer"):
        async with database.session() as session:
            await session.execute(text("SELECT pg_sleep(20)"))
    assert await look(database) == 1

    async def hold() -> None:
        async with database.session() as session:
            await session.scalar(text("SELECT 1"))
            await asyncio.sleep(1)

    answers = await asyncio.gather(*(hold() for _ in range(30)), return_exceptions=True)
    refused = [answer for answer in answers if answer is not None]
    assert refused
    assert all(isinstance(answer, Unavailable) for answer in refused)
    assert await look(database) == 1
    await database.close()


@pytest.mark.postgres
@pytest.mark.parametrize("code", ["57P01", "57P02", "57P03", "53300", "08006"])
async def test_a_server_that_says_it_goes_away_is_told_in_words(postgres: str, code: str) -> None:
    """F22: it says so while the connection is still open."""
    database = Database.open(await postgres_database(postgres))
    with pytest.raises(Unavailable, match="does not answer"):
        async with database.session() as session:
            await session.execute(
                text(f"DO $$ BEGIN RAISE EXCEPTION 'away' USING ERRCODE = '{code}'; END $$")
            )
    assert await look(database) == 1
    await database.close()


@pytest.mark.postgres
async def test_connections_that_the_server_drops_cost_one_error_at_most(postgres: str) -> None:
    """F22."""
    database = Database.open(await postgres_database(postgres))
    other = Database.open(postgres + "/postgres")
    errors = 0
    for turn in range(40):
        if turn % 10 == 5:
            async with other.session() as session:
                await session.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                    )
                )
        try:
            assert await look(database) == 1
        except Unavailable:
            errors += 1
    assert errors <= 4
    await database.close()
    await other.close()


@pytest.mark.postgres
async def test_a_server_that_is_not_there_is_said() -> None:
    database = Database.open("postgresql+asyncpg://petrihub@127.0.0.1:9/petrihub")
    with pytest.raises(Unavailable, match="does not answer"):
        await look(database)
    await database.close()
