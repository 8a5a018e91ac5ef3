"""Backups that somebody could have altered are refused; what was ended stays ended (A70, F55, F56).

SQLite, where a whole backup is made in a moment; `test_upgrade.py` puts PostgreSQL's back too.
"""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from jupyterhub import orm
from typer.testing import CliRunner

from petrihub_cli import backup, backup_seal
from petrihub_cli.backup_seal import public_key
from petrihub_cli.main import app
from petrihub_cli.restore import Wish, restore
from petrihub_core.deployment import Deployment
from petrihub_core.errors import NotFound, PetriHubError, Refused

from tests.cli.older import ask, execute, make_current, make_deployment

WHEN = "2026-01-01 00:00:00"
TOO_BIG = 2**50


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """With an administrator, a one-time link, a share, a token and a cookie."""
    deployment = make_deployment(tmp_path_factory.mktemp("original"))
    make_current(deployment)
    assert deployment.id  # written on first use
    ours, hubs = deployment.database_url, deployment.hub_database_url
    execute(
        ours,
        "INSERT INTO people (id, issuer, subject, username, active, sessions_to_end, created_at) "
        f"VALUES ('1', 'local', '1', 'ada', true, false, '{WHEN}')",
    )
    execute(
        ours,
        "INSERT INTO role_grants (person_id, role, granted_by, granted_at) "
        f"VALUES ('1', 'super-admin', 'tests', '{WHEN}')",
    )
    execute(
        ours,
        "INSERT INTO sign_in_links (id, kind, code_hash, role, groups, created_by, created_at, "
        f"expires_at) VALUES ('1', 'reset', 'x', 'researcher', '[]', 'ada', '{WHEN}', '{WHEN}')",
    )
    execute(
        ours,
        "INSERT INTO workspace_shares (id, owner_id, workspace, kind, mode, created_at) "
        f"VALUES ('1', '1', 'rna', 'link', 'view', '{WHEN}')",
    )
    session = orm.new_session_factory(hubs)()
    session.query(orm.User).filter_by(name="ada").one().cookie_id = "the cookie of ada"
    session.add(orm.OAuthClient(identifier="jupyterhub"))
    session.commit()
    session.query(orm.User).filter_by(name="ada").one().new_api_token("a" * 32)
    session.get_bind().dispose()
    session.close()
    return deployment


@pytest.fixture(scope="module")
def made(original: Deployment) -> Path:
    return backup.back_up(original, "by-hand")


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """A copy of the backup, to be altered."""
    shutil.copytree(made, tmp_path / "copied")
    return tmp_path / "copied"


@pytest.fixture
def key(original: Deployment) -> str:
    return public_key(original.secrets)


def edit(backup_folder: Path, change: Callable[[dict], None]) -> None:
    """Alter the list and keep it well formed."""
    about = json.loads((backup_folder / "backup.json").read_text())
    change(about)
    (backup_folder / "backup.json").write_text(json.dumps(about))


def sql(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def list_again(folder: Path, secrets: Path) -> None:
    """As somebody would who can sign: the list fits the files, whatever they are."""
    about = backup_seal.Manifest.model_validate_json((folder / "backup.json").read_text())
    (folder / "backup.json").unlink()
    (folder / "backup.sig").unlink()
    fresh = about.model_copy(update={"files": backup_seal.members(folder)})
    backup_seal.seal(folder, fresh, secrets)


ALTERED: dict[str, Callable[[Path], object]] = {
    "an administrator more": lambda at: sql(
        at / "petrihub.sqlite", "UPDATE role_grants SET granted_by = 'eve'"
    ),
    "an administrator of the hub": lambda at: sql(
        at / "jupyterhub.sqlite", "UPDATE users SET admin = 1"
    ),
    "another key": lambda at: (at / "secrets" / "settings_keys").write_text("k1 ff\n"),
    "another configuration": lambda at: (at / "petrihub.toml").write_text("backend = 'docker'"),
    "a cut file": lambda at: os.truncate(at / "petrihub.sqlite", 4096),
    "a longer file": lambda at: (at / "petrihub.sqlite").open("ab").write(b"\0" * 4096),
    "a missing file": lambda at: (at / "jupyterhub.sqlite").unlink(),
    "a file more": lambda at: (at / "secrets" / "more").write_text("x"),
    "a link": lambda at: (at / "secrets" / "more").symlink_to("/etc/passwd"),
    "a link in place of a file": lambda at: (
        (at / "deployment-id").rename(at.parent / "aside"),
        (at / "deployment-id").symlink_to(at.parent / "aside"),
    ),
    "a folder that is a link": lambda at: (
        (at / "secrets").rename(at.parent / "aside"),
        (at / "secrets").symlink_to(at.parent / "aside"),
    ),
    "a pipe": lambda at: ((at / "deployment-id").unlink(), os.mkfifo(at / "deployment-id")),
    "an altered list": lambda at: edit(at, lambda about: about.update(version="9.9")),
    "a list that is no list": lambda at: (at / "backup.json").write_text("[1, 2]"),
    "a deep list": lambda at: (at / "backup.json").write_text("[" * 100_000),
    "a huge list": lambda at: os.truncate(at / "backup.json", TOO_BIG // 1024),
    "no list": lambda at: (at / "backup.json").unlink(),
    "no signature": lambda at: (at / "backup.sig").unlink(),
    "a signature that is none": lambda at: (at / "backup.sig").write_text("zz" * 32),
    "another's signature": lambda at: list_again(at, at.parent / "other"),
}


@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_backup_is_refused_and_nothing_is_written(
    how: str, copied: Path, tmp_path: Path, key: str
) -> None:
    ALTERED[how](copied)
    with pytest.raises(Refused) as refused:
        restore(copied, tmp_path / "fresh", Wish(key=key))
    assert refused.value.hint
    assert not (tmp_path / "fresh").exists()


WRONG_LIST: dict[str, Callable[[dict], object]] = {
    "a name that climbs": lambda about: about["files"].update(
        {"secrets/../../up": about["files"]["deployment-id"]}
    ),
    "an absolute name": lambda about: about["files"].update(
        {"/etc/passwd": about["files"]["deployment-id"]}
    ),
    "a name of a folder": lambda about: about["files"].update(
        {"secrets": about["files"]["deployment-id"]}
    ),
    "a size below nothing": lambda about: about["files"]["deployment-id"].update(size=-1),
    "a digest that is none": lambda about: about["files"]["deployment-id"].update(sha256="x"),
    "rows of another database": lambda about: about["rows"].update(other={}),
    "a newer format": lambda about: about.update(format=2),
    "newer tables": lambda about: about["revisions"].update(petrihub="9999"),
    "newer tables of the hub": lambda about: about["revisions"].update(jupyterhub="feedc0de"),
    "more than is known": lambda about: about.update(run="rm"),
}


@pytest.mark.parametrize("how", WRONG_LIST)
def test_a_wrong_list_is_refused_even_unsigned(how: str, copied: Path, tmp_path: Path) -> None:
    edit(copied, WRONG_LIST[how])
    with pytest.raises(Refused):
        restore(copied, tmp_path / "fresh", Wish(unsigned=True))
    assert not (tmp_path / "fresh").exists()


def test_more_than_the_disk_holds_is_refused_before_anything_is_copied(
    copied: Path, tmp_path: Path
) -> None:
    edit(copied, lambda about: about["files"]["petrihub.sqlite"].update(size=TOO_BIG))
    with pytest.raises(PetriHubError, match="more than is free"):
        restore(copied, tmp_path / "fresh", Wish(unsigned=True))


def test_tables_that_do_something_by_themselves_are_refused(
    copied: Path, tmp_path: Path, original: Deployment, key: str
) -> None:
    sql(
        copied / "petrihub.sqlite",
        "CREATE TRIGGER later AFTER INSERT ON people BEGIN UPDATE people SET active = 1; END",
    )
    list_again(copied, original.secrets)
    with pytest.raises(Refused, match="more than tables: 'later'"):
        restore(copied, tmp_path / "fresh", Wish(key=key))
    assert not (tmp_path / "fresh").exists()


def test_without_the_key_nothing_is_put_back_unless_asked_for(made: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be told without the key") as refused:
        restore(made, tmp_path / "fresh", Wish())
    assert "--unsigned" in refused.value.hint
    with pytest.raises(Refused, match="not the key of a backup"):
        restore(made, tmp_path / "fresh", Wish(key="0" * 63))
    assert restore(made, tmp_path / "fresh", Wish(unsigned=True)).privileged
    assert not (tmp_path / "fresh" / "secrets" / "backup_key").exists()
    assert list((tmp_path / "fresh").glob(".restoring-*")) == []


def test_the_key_that_signs_is_in_no_backup(made: Path, original: Deployment) -> None:
    secret = (original.secrets / "backup_key").read_bytes().strip()
    assert all(secret not in file.read_bytes() for file in made.rglob("*") if file.is_file())


def test_what_was_ended_since_does_not_come_back(made: Path, tmp_path: Path, key: str) -> None:
    """F56: sessions, tokens, links and shares; who has a role is said."""
    done = restore(made, tmp_path / "fresh", Wish(key=key))
    ours, hubs = done.deployment.database_url, done.deployment.hub_database_url
    assert done.privileged == ("ada (super-admin)",)
    assert ask(ours, "SELECT count(*) FROM sign_in_links WHERE revoked_at IS NULL") == 0
    assert ask(ours, "SELECT count(*) FROM workspace_shares WHERE ended_at IS NULL") == 0
    assert ask(hubs, "SELECT count(*) FROM api_tokens WHERE user_id IS NOT NULL") == 0
    assert ask(hubs, "SELECT cookie_id FROM users WHERE name = 'ada'") != "the cookie of ada"
    assert ask(hubs, "SELECT count(*) FROM users") == 2


def test_a_move_keeps_people_signed_in(made: Path, tmp_path: Path, original: Deployment) -> None:
    (tmp_path / "key").write_text(public_key(original.secrets))
    wish = Wish(key=str(tmp_path / "key"), keep_sessions=True)
    done = restore(made, tmp_path / "fresh", wish)
    ours, hubs = done.deployment.database_url, done.deployment.hub_database_url
    assert ask(ours, "SELECT count(*) FROM sign_in_links WHERE revoked_at IS NULL") == 1
    assert ask(hubs, "SELECT count(*) FROM api_tokens WHERE user_id IS NOT NULL") == 1
    assert ask(hubs, "SELECT cookie_id FROM users WHERE name = 'ada'") == "the cookie of ada"


def test_the_commands_say_key_roles_and_what_to_look_at(
    original: Deployment, tmp_path: Path
) -> None:
    said = CliRunner().invoke(app, ["backup", "--state", str(original.state)])
    folder = said.stdout.strip().rpartition("Backup: ")[2]
    key = public_key(original.secrets)
    assert f"kept elsewhere: {key}" in said.stdout
    arguments = ["restore", folder, "--state", str(tmp_path / "fresh"), "--key", key]
    said = CliRunner().invoke(app, arguments)
    assert said.exit_code == 0, said.stdout
    assert "With a role: ada (super-admin)" in said.stdout


def test_there_is_nothing_to_back_up_before_the_first_start(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no database"):
        backup.back_up(make_deployment(tmp_path), "by-hand")
