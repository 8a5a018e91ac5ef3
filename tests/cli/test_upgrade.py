"""Bringing databases to this version: a backup that was read back, kills, newer versions."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from petrihub_cli import backup, sqlite_copy
from petrihub_cli.backup_seal import public_key
from petrihub_cli.restore import Wish, restore
from petrihub_cli.upgrade import bring_up_to_date, state_of_hub_tables
from petrihub_core.database import state_of_tables
from petrihub_core.deployment import Deployment
from petrihub_core.errors import ConfigError, Conflict, Unavailable

from tests.cli.older import PEOPLE, ask, execute, make_current, make_deployment, make_older

KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Deployment:
    """With databases of the kind that the test names, still empty."""
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else ""
    return make_deployment(tmp_path / "state", server)


both = pytest.mark.parametrize("deployment", KINDS, indirect=True)


def upgrade(deployment: Deployment) -> list[str]:
    said: list[str] = []
    asyncio.run(bring_up_to_date(deployment, said.append))
    return said


def backups(deployment: Deployment) -> list[Path]:
    return sorted((deployment.state / "backups").glob("[!.]*"))


def assert_current(deployment: Deployment) -> None:
    assert asyncio.run(state_of_tables(deployment.database_url)) == "current"
    assert state_of_hub_tables(deployment.hub_database_url) == "current"
    assert ask(deployment.database_url, "SELECT count(*) FROM people") == PEOPLE
    assert ask(deployment.database_url, "SELECT count(*) FROM role_grants") == PEOPLE
    assert ask(deployment.hub_database_url, "SELECT count(*) FROM users") == 2
    assert ask(deployment.hub_database_url, "SELECT count(display_name) FROM spawners") == 0


@both
def test_an_earlier_version_is_backed_up_and_brought_to_this_one(deployment: Deployment) -> None:
    make_older(deployment)
    said = upgrade(deployment)
    (made,) = backups(deployment)
    assert said[-1] == f"Backup: {made}"
    rows = json.loads((made / "backup.json").read_text())["rows"]
    assert rows["petrihub"]["people"] == PEOPLE
    assert rows["jupyterhub"]["users"] == 2
    assert (made.stat().st_mode & 0o777, (made / "backup.json").stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )
    assert_current(deployment)
    assert upgrade(deployment) == []
    assert backups(deployment) == [made]


@both
def test_a_fresh_database_needs_no_backup(deployment: Deployment) -> None:
    assert upgrade(deployment) == []
    assert asyncio.run(state_of_tables(deployment.database_url)) == "current"
    assert backups(deployment) == []


@both
def test_tables_of_a_newer_version_are_refused_in_words(deployment: Deployment) -> None:
    make_current(deployment)
    execute(deployment.database_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigError, match="newer PetriHub"):
        upgrade(deployment)
    execute(deployment.database_url, "UPDATE alembic_version SET version_num = '0001'")
    execute(deployment.hub_database_url, "UPDATE alembic_version SET version_num = 'feedc0de'")
    with pytest.raises(ConfigError, match="newer JupyterHub"):
        upgrade(deployment)
    assert ask(deployment.database_url, "SELECT version_num FROM alembic_version") == "0001"


@both
def test_without_a_backup_nothing_is_changed(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older(deployment)
    # a copy that is not what was copied; a full disk cannot be made here without rights
    monkeypatch.setattr(sqlite_copy, "_rows", lambda _: {"people": os.urandom(4).hex()})
    monkeypatch.setattr("petrihub_cli.postgres_copy._rows_in", lambda _: {})
    with pytest.raises(Unavailable, match="is not what the database held"):
        upgrade(deployment)
    assert asyncio.run(state_of_tables(deployment.database_url)) == "older"
    assert state_of_hub_tables(deployment.hub_database_url) == "older"
    assert list((deployment.state / "backups").iterdir()) == []


def upgrade_until(deployment: Deployment, statement: int) -> bool:
    """Upgrade in a process of its own that is killed before its n-th statement; whether it was."""
    pid = os.fork()
    if pid == 0:
        left = statement

        def count(*_: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "before_cursor_execute", count)
        code = 1
        try:
            upgrade(deployment)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize(
    ("deployment", "step"),
    [("sqlite", 6), pytest.param("postgresql", 12, marks=pytest.mark.postgres)],
    indirect=["deployment"],
)
def test_an_upgrade_that_is_killed_anywhere_is_done_by_the_next_start(
    deployment: Deployment, step: int
) -> None:
    """F26: killed again and again, each time later; then whole."""
    make_older(deployment)
    killed = 0
    statement = 1
    while upgrade_until(deployment, statement):
        killed += 1
        statement += step
    assert killed >= 5
    upgrade(deployment)
    assert_current(deployment)


async def test_several_at_once_upgrade_once(tmp_path: Path) -> None:
    deployment = await asyncio.to_thread(make_deployment, tmp_path / "state")
    await asyncio.to_thread(make_older, deployment)
    await asyncio.gather(*(asyncio.to_thread(upgrade, deployment) for _ in range(4)))
    assert len(backups(deployment)) == 1
    await asyncio.to_thread(assert_current, deployment)


@both
def test_a_backup_put_back_is_what_it_was_made_of(
    deployment: Deployment, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    make_older(deployment)
    identity = deployment.id
    made = backup.back_up(deployment, "by-hand")
    server = request.getfixturevalue("postgres") if "postgresql" in deployment.database_url else ""
    fresh = make_deployment(tmp_path / "fresh", server)
    (fresh.secrets / "settings_keys").unlink()
    (fresh.secrets / "database_password").write_text("of the new server")
    key = public_key(deployment.secrets)
    restored = restore(made, fresh.state, Wish(key=key))
    assert restored.made_at
    upgrade(fresh)
    assert_current(fresh)
    assert (fresh.state / "deployment-id").read_text().strip() == identity
    assert (fresh.secrets / "settings_keys").read_text() == "k1 00\n"
    assert (fresh.secrets / "database_password").read_text() == "of the new server"
    with pytest.raises(Conflict, match="tables already"):
        restore(made, fresh.state, Wish(key=key))
