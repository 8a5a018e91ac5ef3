"""Brings the databases to this version before the hub starts, after a backup that was read back.

Whoever is interrupted begins again at the next start: our own migrations are one transaction, and
JupyterHub's are made in a copy (SQLite) or one transaction each (PostgreSQL).
"""

import asyncio
import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.script import ScriptDirectory
from jupyterhub import dbutil
from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from petrihub_cli import sqlite_copy
from petrihub_cli.backup import back_up, recorded_revision
from petrihub_cli.prepare import Say
from petrihub_core.database import Tables, migrate, state_of_tables
from petrihub_core.deployment import Deployment
from petrihub_core.errors import ConfigError, Unavailable


async def bring_up_to_date(deployment: Deployment, say: Say) -> None:
    """Migrate both databases if they are of an earlier version; does nothing if they are not.

    Raises `ConfigError` if they are of a later one, `Unavailable` if they or the backup cannot be
    had: then nothing was changed.
    """
    with await asyncio.to_thread(_alone, deployment):
        ours = await state_of_tables(deployment.database_url)
        hubs = await asyncio.to_thread(state_of_hub_tables, deployment.hub_database_url)
        if "older" in (ours, hubs):
            say("The database is of an earlier version: making a backup first")
            made = await asyncio.to_thread(back_up, deployment, "before-upgrade")
            say(f"Backup: {made}")
        await migrate(deployment.database_url)
        if hubs == "older":
            await asyncio.to_thread(_upgrade_hub_tables, deployment.hub_database_url)


def _alone(deployment: Deployment) -> "_Lock":
    deployment.state.mkdir(parents=True, exist_ok=True)
    return _Lock(deployment.state / "upgrade.lock")


class _Lock:
    """Held by the one process that looks at the version and changes it; the others wait."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._file.close()


def state_of_hub_tables(url: str) -> Tables:
    """Of which version JupyterHub's own tables are; raises as `state_of_tables` does."""
    place = make_url(url)
    if place.get_backend_name() == "sqlite" and not Path(place.database or "").exists():
        return "none"
    script = ScriptDirectory(dbutil.ALEMBIC_DIR)
    engine = create_engine(place, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            found = recorded_revision(connection)
    except DBAPIError as exc:
        raise Unavailable(
            "The database of the hub does not answer.", hint="Look at its log, then start again."
        ) from exc
    if not found:
        return "none"
    if found == script.get_current_head():
        return "current"
    if found not in {each.revision for each in script.walk_revisions()}:
        raise ConfigError(
            f"The hub's database was made by a newer JupyterHub (its tables are at {found}).",
            hint="Run that version or a later one, or put back the backup from before the upgrade.",
        )
    return "older"


def _upgrade_hub_tables(url: str) -> None:
    place = make_url(url)
    if place.get_backend_name() != "sqlite":
        _run_hub_migrations(url)
        return
    # JupyterHub's migrations commit in the middle on SQLite: they are made in a copy
    file = Path(place.database or "")
    with _copied(file) as fresh:
        _run_hub_migrations(f"sqlite:///{fresh}")
        os.replace(fresh, file)


def _run_hub_migrations(url: str) -> None:
    """In a process of its own: JupyterHub's set-up of alembic turns this one's logging over."""
    with tempfile.TemporaryDirectory(prefix="petrihub-alembic-") as folder:
        settings = Path(folder) / "alembic.ini"
        settings.touch(mode=0o600)  # the password is in it
        dbutil.write_alembic_ini(settings, url)
        done = subprocess.run(
            [sys.executable, "-m", "alembic", "--config", settings, "upgrade", "head"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise Unavailable(
            f"The hub's tables could not be brought to this version: {done.stderr[-500:]}",
            hint="The backup from before is in the folder backups.",
        )


@contextmanager
def _copied(file: Path) -> Iterator[Path]:
    fresh = file.with_name(file.name + ".upgraded")
    fresh.unlink(missing_ok=True)
    sqlite_copy.copy(file, fresh)
    try:
        yield fresh
    finally:
        fresh.unlink(missing_ok=True)
