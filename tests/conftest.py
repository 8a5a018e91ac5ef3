"""Fixtures for all tests.

database      one of our databases, migrated and empty: on SQLite, and again on PostgreSQL
postgres      address of a PostgreSQL server that this run started (session)
engine        the private Docker engine (session)
chromium      program that starts Debian's Chromium (session)
browser       Chromium, running (module)
proxy         the routing proxy, installed from its lock file and put on PATH (session, for all)

Where a real part cannot be had the test skips with the reason; in CI that is a failure.
"""

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from petrihub_cli.product import NODE
from petrihub_core.database import Database, migrate

from tests.platform import BROWSER_FLAGS, CHROMIUM, free_port
from tests.side_by_side import shared_proxy

pytest_plugins = ["tests.side_by_side"]
IN_CI = os.environ.get("CI") == "true"
# What tests start is to be as when a person starts it, whatever the shell around us has set:
# it hears Ctrl-C (a job in the background does not, and each workspace would wait for the time-out
# of its stop) and keeps compiled Python (else a fresh clone compiles everything at each start).
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def skip(reason: str) -> None:
    """Skip with the reason; in CI nothing skips, so there it fails."""
    if IN_CI:
        pytest.fail(f"would be skipped outside CI: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def proxy() -> None:
    """The routing proxy that hubs of the tests start by its name."""
    programs = shared_proxy() / "node_modules" / ".bin"
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
    """The program that starts Debian's Chromium."""
    if shutil.which("chromium") is None:
        skip("Chromium is not installed (apt-get install chromium)")
    return CHROMIUM


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Not for a module with async tests: its driver runs a loop in this thread."""
    expect.set_options(timeout=30_000)  # the machine may be busy
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        yield launched
        launched.close()
