"""One hub at work on one PostgreSQL: takeover, a hub that wakes up late, a server that restarts."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from petrihub_core.database import Database
from petrihub_core.lease import EXIT_TAKEN_OVER

from tests.conftest import postgres_database

pytestmark = pytest.mark.postgres

STAND_IN = Path(__file__).with_name("hub_stand_in.py")


@pytest.fixture
async def url(postgres: str) -> str:
    made = await postgres_database(postgres)
    database = Database.open(made)
    async with database.session() as session:
        await session.execute(text("CREATE TABLE writes (number integer)"))
    await database.close()
    return made


@pytest.fixture
async def tables(url: str) -> AsyncIterator[Database]:
    opened = Database.open(url)
    yield opened
    await opened.close()


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(url: str) -> Iterator[Start]:
    hubs: list[subprocess.Popen[str]] = []

    def begin(patience: float = 20, silent: float = 600) -> "subprocess.Popen[str]":
        hub = subprocess.Popen(
            [sys.executable, STAND_IN, url, str(patience), str(silent)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        hubs.append(hub)
        return hub

    yield begin
    for hub in hubs:
        hub.kill()
        hub.communicate()


def number_of(hub: "subprocess.Popen[str]") -> int:
    assert hub.stdout
    line = hub.stdout.readline()
    assert line.startswith("at work"), (line, hub.stderr and hub.stderr.read())
    return int(line.split()[-1])


async def writes(tables: Database, number: int) -> int:
    async with tables.reading() as session:
        count = await session.scalar(
            text("SELECT count(*) FROM writes WHERE number = :n"), {"n": number}
        )
        return int(count or 0)


async def at_least(tables: Database, number: int, count: int) -> None:
    for _ in range(200):
        if await writes(tables, number) >= count:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"hub {number} does not write")


async def test_a_second_hub_waits_and_is_refused_in_words(start: Start, tables: Database) -> None:
    first = start()
    number = number_of(first)
    second = start(patience=1)
    assert second.wait(60) == 1
    assert second.stderr
    assert "Another hub of this PetriHub is at work" in second.stderr.read()
    await at_least(tables, number, await writes(tables, number) + 3)


async def test_after_a_killed_hub_the_next_one_is_at_work_at_once(
    start: Start, tables: Database
) -> None:
    first = start()
    earlier = number_of(first)
    first.kill()
    first.wait()
    begun = time.monotonic()
    assert number_of(start()) == earlier + 1
    assert time.monotonic() - begun < 15  # it is given up after 20


async def test_a_hub_that_wakes_up_after_the_takeover_writes_nothing_more(
    start: Start, tables: Database
) -> None:
    old = start()
    number = number_of(old)
    await at_least(tables, number, 3)
    old.send_signal(signal.SIGSTOP)
    successor = start(silent=1)
    later = number_of(successor)
    assert later == number + 1
    known = await writes(tables, number)
    old.send_signal(signal.SIGCONT)
    await at_least(tables, later, 20)
    # it notices, and ends by itself
    assert await asyncio.to_thread(old.wait, 20) == EXIT_TAKEN_OVER
    said, _ = old.communicate()
    assert "refused" in said
    assert await writes(tables, number) == known


async def test_the_hub_keeps_its_lease_when_the_server_drops_all_connections(
    start: Start, tables: Database
) -> None:
    hub = start()
    number = number_of(hub)
    await at_least(tables, number, 3)
    async with tables.session() as session:
        await session.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    await at_least(tables, number, await writes(tables, number) + 20)
    await asyncio.sleep(7)  # the lease's own connection is used every five seconds
    assert hub.poll() is None
    second = start(patience=1)
    assert second.wait(60) == 1
