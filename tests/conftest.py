"""Fixtures for all tests.

database      one of our databases, migrated and empty: on SQLite, and again on PostgreSQL
postgres      address of a PostgreSQL server that this run started (session)
engine        the private Docker engine (session)
chromium      program that starts Debian's Chromium (session)
browser       Chromium, running (module)
proxy         the routing proxy, installed from its lock file and put on PATH (session, for all)

Where a real part cannot be had the test skips with the reason; in CI that is a failure.
"""

import inspect
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from petrihub_cli.product import NODE
from petrihub_core import ports
from petrihub_core.database import Database, migrate
from petrihub_core.ports import free_port

from tests.platform import BROWSER_FLAGS, CHROMIUM
from tests.side_by_side import shared_proxy

pytest_plugins = ["tests.side_by_side"]
IN_CI = os.environ.get("CI") == "true"
# What tests start is to be as when a person starts it, whatever the shell around us has set:
# it hears Ctrl-C (a job in the background does not, and each workspace would wait for the time-out
# of its stop) and keeps compiled Python (else a fresh clone compiles everything at each start).
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# processes that test side by side do not choose among the same ports
_count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_which = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _count
_each = len(ports._OWN) // _count
ports._OWN = ports._OWN[_which * _each : (_which + 1) * _each]
# an assertion or a request that says nothing else may take five seconds, and on a busy machine a
# page takes longer; what hangs is ended by the test's own limit
expect.set_options(timeout=30_000)
_limits = inspect.signature(httpx.get).parameters["timeout"].default
for _phase in _limits.as_dict():
    setattr(_limits, _phase, 60.0)


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


class PostgreSQL:
    """A server with its own data below `folder`, its own port, and no way to it but loopback."""

    def __init__(self, folder: Path) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not found:
            skip("PostgreSQL is not installed (apt-get install postgresql)")
        self.folder = folder
        self._programs = found[-1].parent
        self._port = free_port()
        self.url = f"postgresql+asyncpg://petrihub@127.0.0.1:{self._port}"
        # PostgreSQL refuses to run as root, and its account must reach the folder
        self._prefix: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            self._prefix = ["runuser", "-u", "postgres", "--"]

    def make(self, *options: str) -> None:
        data = self.folder / "data"
        self._run("initdb", "-D", data, "-U", "petrihub", "-A", "trust", "-E", "UTF8", *options)

    def start(self, *options: str) -> None:
        asked = f"-p {self._port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = ("-l", self.folder / "log")
        self._control("start", "-w", *log, "-o", " ".join([asked, *options]))

    def runs(self) -> bool:
        try:
            self._control("status")
        except subprocess.CalledProcessError:
            return False
        return True

    def stop(self) -> None:
        self._control("stop", "-m", "immediate")

    def _control(self, action: str, *options: str | Path) -> None:
        self._run("pg_ctl", action, "-D", self.folder / "data", *options)

    def _run(self, program: str, *arguments: str | Path) -> None:
        subprocess.run(
            [*self._prefix, self._programs / program, *arguments],
            check=True,
            capture_output=True,
            cwd="/tmp",
        )


@contextmanager
def postgres_server() -> Iterator[PostgreSQL]:
    """A server for as long as the block lasts; who stops it starts it again."""
    # below the tests' own folder the account of PostgreSQL could not reach it
    folder = Path("/tmp") / f"petrihub-postgres-{uuid.uuid4().hex[:8]}"
    folder.mkdir(mode=0o700)
    server = PostgreSQL(folder)
    server.make()
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of this run alone."""
    with postgres_server() as server:
        yield server.url


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
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        yield launched
        launched.close()
