"""F16: the database's disk is full. Nothing is saved, what is there is read, nothing is broken."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jupyterhub import orm
from sqlalchemy import select, text

from petrihub_cli import main
from petrihub_cli.hub_start import go_on_when_full
from petrihub_cli.state import inner_ports, open_state
from petrihub_core import audit
from petrihub_core.audit import Flaw
from petrihub_core.database import Database, migrate
from petrihub_core.deployment import read_deployment
from petrihub_core.errors import ConfigError
from petrihub_core.full_disk import DiskFull, is_full
from petrihub_core.records import AuditRow

from tests.conftest import postgres_database
from tests.small_disk import SmallDisk, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 24) as made:
        yield made


async def write(database: Database, target: str) -> None:
    async with database.session() as session:
        await audit.record(session, actor="ada", action="test", target=target * 1000)


async def count(database: Database) -> int:
    async with database.reading() as session:
        return len((await session.scalars(select(AuditRow.seq))).all())


def integrity(file: Path) -> str:
    with closing(sqlite3.connect(file)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


async def test_nothing_is_saved_all_is_read_and_then_it_goes_on(disk: SmallDisk) -> None:
    file = disk.folder / "petrihub.sqlite"
    url = f"sqlite+aiosqlite:///{file}"
    await migrate(url)
    database = Database.open(url)
    for number in range(5):
        await write(database, str(number))
    assert not database.is_full()
    disk.fill()
    assert database.is_full()
    written = await count(database)
    refused = 0
    for number in range(200):  # the log that is there may have room for some more rows
        try:
            await write(database, str(number))
            written += 1
        except DiskFull:
            refused += 1
    assert refused > 100
    assert await count(database) == written
    other = Database.open(url)  # another process, which has not looked yet
    assert await count(other) == written
    await other.close()
    assert integrity(file) == "ok"

    disk.free()
    assert not database.is_full()
    await write(database, "after")
    assert await count(database) == written + 1
    assert integrity(file) == "ok"
    async with database.reading() as session:
        assert not isinstance(await audit.verify_step(session, audit.Place()), Flaw)
    await database.close()


async def test_the_hub_knows_people_by_their_tokens_without_room_to_note_their_activity(
    disk: SmallDisk,
) -> None:
    """Else it would take everybody for a stranger: JupyterHub notes it while it looks who asks."""
    url = f"sqlite:///{disk.folder / 'jupyterhub.sqlite'}"
    session = orm.new_session_factory(url)()
    user, other = orm.User(name="ada"), orm.User(name="eve")
    session.add_all([user, other])
    session.commit()
    go_on_when_full(url, session)
    disk.fill()
    moment = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    user.last_activity = moment
    session.commit()
    user.admin = True  # anything else is not passed over in silence
    with pytest.raises(Exception, match="full"):
        session.commit()
    session.rollback()
    disk.free()
    other.last_activity = moment
    session.commit()
    session.expire_all()
    assert (user.admin, user.last_activity, other.last_activity) == (False, None, moment)
    session.close()


def test_what_a_start_writes_is_whole_or_as_it_was(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings, ports and the name of the deployment: an empty one would need surgery."""
    config = open_state(disk.folder / "state", port=8001)
    deployment = read_deployment(config)
    ports = deployment.state / "ports.json"
    ports.write_text('{"hub": 1}')
    config.chmod(0o640)
    open_state(config.parent, port=8003)
    assert config.stat().st_mode & 0o777 == 0o640
    before = config.read_text()
    disk.fill()
    with pytest.raises(ConfigError, match="No space left on device"):
        open_state(config.parent, port=8002)
    with pytest.raises(ConfigError, match="No space left on device"):
        assert deployment.id
    monkeypatch.setattr(main, "app", lambda: inner_ports(deployment))
    with pytest.raises(SystemExit):
        main.main()
    assert "The disk is full" in capsys.readouterr().err
    assert (config.read_text(), ports.read_text()) == (before, '{"hub": 1}')
    assert not (deployment.state / "deployment-id").exists()
    disk.free()
    assert inner_ports(deployment)["hub"] == 1
    assert len(read_deployment(config).id) == 10
    assert sorted(each.name for each in deployment.state.iterdir()) == [
        *("deployment-id", "petrihub.toml", "ports.json")
    ]


@pytest.mark.postgres
async def test_a_server_without_room_is_said(postgres: str) -> None:
    database = Database.open(await postgres_database(postgres))
    with pytest.raises(DiskFull):
        async with database.session() as session:
            await session.execute(
                text("DO $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$")
            )
    assert not database.is_full()
    assert not is_full(postgres)
    await database.close()


def test_a_log_line_that_cannot_be_written_ends_nothing(disk: SmallDisk) -> None:
    """Each part of PetriHub logs into a file on this disk; a round that logs must not end by it."""
    disk.fill()
    program = (
        "from petrihub_core.logs import configure_logs, get_logger\n"
        "configure_logs('hub')\n"
        "for _ in range(20000): get_logger('test').warning('lost')\n"
        "print('alive')"
    )
    with (disk.folder / "log").open("w") as log:
        run = subprocess.run(
            [sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert run.stdout == "alive\n"
