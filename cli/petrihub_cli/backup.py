"""Copies of both databases and of the keys: made by hand, and by itself before every upgrade.

A copy counts only after it was read back: opened, checked and its rows compared, table by table,
with what the database held in the same moment. Homes and data of people are not in it.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from petrihub_cli import postgres_copy, sqlite_copy
from petrihub_cli.state import CONFIG_NAME
from petrihub_core.deployment import Deployment, read_deployment
from petrihub_core.errors import Conflict, NotFound, Refused

_CUT_OFF_SECONDS = 24 * 3600
_MANIFEST = "backup.json"
_KEYS = "secrets"
_OURS = ("database_password", "postgres_password")  # belong to the server, not to the data
_IDENTITY = "deployment-id"  # without it the homes of people are not found


def databases(deployment: Deployment) -> dict[str, URL]:
    """Our tables and JupyterHub's, by the name that their copies bear."""
    return {
        "petrihub": make_url(deployment.database_url),
        "jupyterhub": make_url(deployment.hub_database_url),
    }


def _is_sqlite(url: URL) -> bool:
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
        about = {
            "made_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "version": version("petrihub"),
            "rows": rows,
        }
        (fresh / _MANIFEST).write_text(json.dumps(about, indent=2) + "\n")
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


def _copy_databases(deployment: Deployment, folder: Path) -> dict[str, dict[str, int]]:
    rows = {}
    for name, url in databases(deployment).items():
        if not _is_sqlite(url):
            rows[name] = postgres_copy.copy(url, folder / f"{name}.dump")
        elif Path(url.database or "").exists():
            rows[name] = sqlite_copy.copy(Path(url.database or ""), folder / f"{name}.sqlite")
    if not rows:
        raise NotFound(
            f"There is no database in {deployment.state} yet.", hint="Start PetriHub once."
        )
    return rows


def _copy_keys(deployment: Deployment, folder: Path) -> None:
    shutil.copytree(deployment.secrets, folder / _KEYS, dirs_exist_ok=True)
    for name in (CONFIG_NAME, _IDENTITY):
        if (deployment.state / name).exists():
            shutil.copy2(deployment.state / name, folder / name)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def restore(backup: Path, state: Path) -> Deployment:
    """Put `backup` into the fresh state folder `state`; the deployment that lives there now.

    Blocks. The folder may be new, or made by `petrihub init`; its databases must be empty. Its own
    database passwords stay. Raises `Refused` for what is no backup, `Conflict` if there are tables.
    """
    rows = _rows_of(backup)
    state.mkdir(parents=True, exist_ok=True)
    if not (state / CONFIG_NAME).exists():
        shutil.copy2(backup / CONFIG_NAME, state / CONFIG_NAME)
    deployment = read_deployment(state / CONFIG_NAME)
    places = databases(deployment)
    for name in rows:
        _require_empty(places[name])
        _require_same_kind(backup, name, places[name])
    for name, expected in rows.items():
        if _is_sqlite(places[name]):
            target = Path(places[name].database or "")
            sqlite_copy.put_back(backup / f"{name}.sqlite", target, expected)
        else:
            postgres_copy.put_back(backup / f"{name}.dump", places[name], expected)
    for source, target in _kept_keys(backup, deployment):
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy2(source, target)
    return deployment


def _rows_of(backup: Path) -> dict[str, dict[str, int]]:
    try:
        rows: dict[str, dict[str, int]] = json.loads((backup / _MANIFEST).read_text())["rows"]
    except (OSError, ValueError, KeyError) as exc:
        raise Refused(
            f"{backup} is not a backup of PetriHub.",
            hint="Name a folder that `petrihub backup` has made.",
        ) from exc
    return rows


def _require_empty(url: URL) -> None:
    full = Path(url.database or "").exists() if _is_sqlite(url) else bool(postgres_copy.tables(url))
    if full:
        raise Conflict(
            f"There are tables already in {url.database}.",
            hint="A backup is put back into a fresh folder only. Choose another with --state.",
        )


def _require_same_kind(backup: Path, name: str, url: URL) -> None:
    suffix = ".sqlite" if _is_sqlite(url) else ".dump"
    if not (backup / f"{name}{suffix}").exists():
        raise Refused(
            f"This backup of {name} is not of the same kind of database as {url.database}.",
            hint="SQLite goes back to SQLite, PostgreSQL to PostgreSQL: see [database].",
        )


def _kept_keys(backup: Path, deployment: Deployment) -> Iterator[tuple[Path, Path]]:
    for source in sorted((backup / _KEYS).iterdir()):
        if source.is_file() and source.name not in _OURS:
            yield source, deployment.secrets / source.name
    if (backup / _IDENTITY).exists():
        yield backup / _IDENTITY, deployment.state / _IDENTITY
