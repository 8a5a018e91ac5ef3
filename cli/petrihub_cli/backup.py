"""Copies of both databases and of the keys: made by hand, and by itself before every upgrade.

A copy counts only after it was read back: opened, checked and its rows compared, table by table,
with what the database held in the same moment. Homes and data of people are not in it, nor is the
key with which it is signed.
"""

import os
import shutil
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, inspect, text
from sqlalchemy.engine import URL, make_url

from petrihub_cli import backup_seal, postgres_copy, sqlite_copy
from petrihub_cli.backup_seal import IDENTITY, KEYS, SIGNING_KEY, Database, Manifest
from petrihub_cli.state import CONFIG_NAME
from petrihub_core.deployment import Deployment
from petrihub_core.errors import NotFound

_CUT_OFF_SECONDS = 24 * 3600


def databases(deployment: Deployment) -> dict[Database, URL]:
    """Our tables and JupyterHub's, by the name that their copies bear."""
    return {
        "petrihub": make_url(deployment.database_url),
        "jupyterhub": make_url(deployment.hub_database_url),
    }


def is_sqlite(url: URL) -> bool:
    """Whether this database is one file."""
    return url.get_backend_name() == "sqlite"


def back_up(deployment: Deployment, why: str) -> Path:
    """Copy what cannot be made again into a new folder; its path. `why` becomes part of its name.

    Blocks. Works while PetriHub runs. Raises `Unavailable` if a copy cannot be made or is not what
    the database holds, and leaves nothing behind then; `NotFound` if there is no database yet.
    """
    folder = deployment.state / "backups"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # to the microsecond: a start that was cut off may be followed by another in the same second
    name = f"{datetime.now(UTC):%Y-%m-%dT%H%M%S.%fZ}-{why}"
    _forget_cut_off(folder)
    fresh = folder / f".new-{name}-{os.getpid()}"
    fresh.mkdir(mode=0o700)
    try:
        rows = _copy_databases(deployment, fresh)
        _copy_keys(deployment, fresh)
        about = Manifest(
            made_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            version=version("petrihub"),
            revisions={name: _revision(databases(deployment)[name]) for name in rows},
            rows=rows,
            files=backup_seal.members(fresh),
        )
        backup_seal.seal(fresh, about, deployment.secrets)
        for file in (path for path in fresh.rglob("*") if path.is_file()):
            file.chmod(0o600)
            _to_disk(file)
        made = folder / name
        fresh.rename(made)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _to_disk(folder)
    return made


def _forget_cut_off(folder: Path) -> None:
    """Remove what a backup that was killed has left, once it is old enough for sure."""
    for left in folder.glob(".new-*"):
        if time.time() - left.stat().st_mtime > _CUT_OFF_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _copy_databases(deployment: Deployment, folder: Path) -> dict[Database, dict[str, int]]:
    rows: dict[Database, dict[str, int]] = {}
    for name, url in databases(deployment).items():
        if not is_sqlite(url):
            rows[name] = postgres_copy.copy(url, folder / f"{name}.dump")
        elif Path(url.database or "").exists():
            rows[name] = sqlite_copy.copy(Path(url.database or ""), folder / f"{name}.sqlite")
    if not rows:
        raise NotFound(
            f"There is no database in {deployment.state} yet.", hint="Start PetriHub once."
        )
    return rows


def _revision(url: URL) -> str:
    plain = url.set(drivername="sqlite") if is_sqlite(url) else postgres_copy.plain(url)
    with create_engine(plain, poolclass=NullPool).connect() as connection:
        return recorded_revision(connection)


def recorded_revision(connection: Connection) -> str:
    """Of which version the tables say that they are; empty if they do not."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


def _copy_keys(deployment: Deployment, folder: Path) -> None:
    (folder / KEYS).mkdir(mode=0o700)
    for key in deployment.secrets.glob("[!.]*"):
        # whoever can read or write backups must not be able to sign one
        if key.is_file() and key.name != SIGNING_KEY:
            shutil.copy2(key, folder / KEYS / key.name)
    for name in (CONFIG_NAME, IDENTITY):
        if (deployment.state / name).exists():
            shutil.copy2(deployment.state / name, folder / name)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
