"""F16: the disk of the PostgreSQL server is full. Words for everybody, and nothing is broken."""

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import select, text

from petrihub_core import audit
from petrihub_core.audit import Flaw
from petrihub_core.database import Database, migrate
from petrihub_core.errors import Unavailable
from petrihub_core.full_disk import DiskFull
from petrihub_core.records import AuditRow
from petrihub_spawner.contract import until

from tests.conftest import PostgreSQL, postgres_database
from tests.small_disk import SmallDisk, small_disk

pytestmark = pytest.mark.postgres
LOGGED = text("SELECT pg_logical_emit_message(false, 'test', repeat('x', 500000))")


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    # below the tests' own folder the account of PostgreSQL could not reach it
    folder = Path("/tmp") / f"petrihub-small-{uuid.uuid4().hex[:8]}"
    with small_disk(folder, 128) as made:
        yield made
    shutil.rmtree(folder)


@pytest.fixture
def server(disk: SmallDisk) -> Iterator[PostgreSQL]:
    made = PostgreSQL(disk.folder)
    made.make("--wal-segsize=1")
    made.start("-c max_wal_size=4MB")
    yield made
    with suppress(subprocess.CalledProcessError):  # it has ended by itself
        made.stop()


async def write(database: Database, number: int) -> None:
    async with database.session() as session:
        await audit.record(session, actor="ada", action="test", target=f"{number:05}" * 2000)


async def written(database: Database) -> int:
    async with database.reading() as session:
        return len((await session.scalars(select(AuditRow.seq))).all())


async def test_f16_a_full_postgresql_is_said_and_loses_nothing_that_was_saved(
    server: PostgreSQL, disk: SmallDisk
) -> None:
    url = await postgres_database(server.url)
    await migrate(url)
    database = Database.open(url)
    disk.fill()
    saved = 0
    with pytest.raises(DiskFull):  # not at once: its files have some room within them
        for saved in range(1000):
            await write(database, saved)
    assert await written(database) == saved  # what is there is read

    # its log has no room either: the server ends
    with pytest.raises(Unavailable, match="does not answer"):
        for _ in range(1000):
            async with database.session() as session:
                await session.execute(LOGGED)

    disk.free()

    async def answers() -> bool:
        if not server.runs():
            server.start()  # as the restart policy of its container does
        try:
            return await written(database) == saved
        except Unavailable:  # it is still reading its log
            return False

    await until(answers, patience=60)
    await write(database, saved)
    async with database.reading() as session:
        assert not isinstance(await audit.verify_step(session, audit.Place()), Flaw)
    await database.close()
