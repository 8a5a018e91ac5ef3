"""Fixtures for all tests.

database      one of our databases, migrated and empty: on SQLite, and again on PostgreSQL
postgres      address of a PostgreSQL server that this run started (session)
engine        the private Docker engine (session)
chromium      path of the browser (session)
proxy         the routing proxy, installed from its lock file and put on PATH (session, for all)

Where a real part cannot be had the test skips with the reason; in CI that is a failure.
"""

import os
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from petrihub_cli import prepare
from petrihub_cli.product import NODE
from petrihub_core.database import Database, migrate

from tests.platform import CACHE, free_port

IN_CI = os.environ.get("CI") == "true"


def skip(reason: str) -> None:
    """Skip with the reason; in CI nothing skips, so there it fails."""
    if IN_CI:
        pytest.fail(f"would be skipped outside CI: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def proxy() -> None:
    """The routing proxy that hubs of the tests start by its name."""
    folder = CACHE / "proxy"
    prepare.install_proxy(folder, CACHE / "proxy-install.log", lambda _: None)
    programs = folder / "node_modules" / ".bin"
    os.environ["PATH"] = os.pathsep.join([str(programs), str(NODE.parent), os.environ["PATH"]])


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of this run alone: own data folder, own port, loopback."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        skip("PostgreSQL is not installed (apt-get install postgresql)")
    programs = found[-1].parent
    # PostgreSQL refuses to run as root, and its account must reach the folder
    folder = Path("/tmp") / f"petrihub-postgres-{uuid.uuid4().hex[:8]}"
    folder.mkdir(mode=0o700)
    prefix: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        prefix = ["runuser", "-u", "postgres", "--"]
    port = free_port()
    data = folder / "data"
    run = lambda *command: subprocess.run(  # noqa: E731
        [*prefix, *command], check=True, capture_output=True, cwd="/tmp"
    )
    run(programs / "initdb", "-D", data, "-U", "petrihub", "-A", "trust", "-E", "UTF8")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    run(programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
    try:
        yield f"postgresql+asyncpg://petrihub@127.0.0.1:{port}"
    finally:
        run(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


async def postgres_database(server: str) -> str:
    """A fresh, empty database on the server; its address."""
    import asyncpg

    name = f"t{uuid.uuid4().hex}"
    plain = server.replace("+asyncpg", "")
    connection = await asyncpg.connect(f"{plain}/postgres")
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return f"{server}/{name}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of a fresh database with our tables."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path / 'petrihub.sqlite'}"
    else:
        url = await postgres_database(request.getfixturevalue("postgres"))
    await migrate(url)
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Our database, migrated and empty."""
    opened = Database.open(database_url)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of Debian's Chromium."""
    found = shutil.which("chromium")
    if found is None:
        skip("Chromium is not installed (apt-get install chromium)")
    return str(found)
