"""`petrihub init`: a server's folder from nothing, again, and what it refuses."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from petrihub_core.deployment import read_deployment

from tests.platform import petrihub

SECRETS = {
    "cookie_secret",
    "database_password",
    "portal_cookie_key",
    "portal_token",
    "postgres_password",
    "proxy_token",
    "reconciler_token",
    "registry_certificate.pem",
    "registry_key.pem",
    "registry_secret",
    "settings_keys",
}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Path]:
    """A socket where an engine could be; nobody asks it anything."""
    place = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        yield place


def init(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = petrihub("init", *arguments)
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_one_address_for_all_is_for_trusted_users_and_says_so(tmp_path: Path, engine: Path) -> None:
    folder = tmp_path / "srv"
    done = init(folder, "--domain", "hub.example.org", "--no-subdomains", "--socket", engine)
    assert "for trusted users only" in done.stdout
    settings = (folder / "petrihub.toml").read_text()
    assert "wildcard DNS record" in settings  # what the setting means stands beside it
    assert not read_deployment(folder / "petrihub.toml").front.origins


def test_an_empty_folder_becomes_an_installation(tmp_path: Path, engine: Path) -> None:
    folder = tmp_path / "srv"
    done = init(folder, "--domain", "hub.example.org", "--socket", engine)
    assert done.returncode == 0, done.stderr
    assert "docker-compose up -d" in done.stdout
    deployment = read_deployment(folder / "petrihub.toml")
    assert deployment.public_url == "https://hub.example.org"
    assert deployment.front.origins
    assert "*.hub.example.org needs a DNS record and a certificate" in done.stdout
    assert deployment.parts == "apart"
    assert f"host={folder}/run/postgres" in deployment.database_url.replace("%2F", "/")
    assert "petrihub_portal" in deployment.portal_database_url
    files = {file.name: file for file in (folder / "secrets").iterdir()}
    assert files.keys() == SECRETS
    assert {file.stat().st_mode & 0o777 for file in files.values()} == {0o600}
    assert len({file.read_text() for file in files.values()}) == len(SECRETS)
    told = (folder / ".env").read_text() + (folder / "compose.yaml").read_text()
    told += (folder / "petrihub.toml").read_text() + done.stdout
    assert [n for n, file in files.items() if file.read_text().split()[-1] in told] == []
    assert "$" not in (folder / ".env").read_text()
    # every value is explained
    blocks = (folder / ".env").read_text().strip().split("\n\n")
    assert all(block.startswith("#") for block in blocks)


def test_petrihub_up_says_how_such_an_installation_is_run(tmp_path: Path, engine: Path) -> None:
    init(tmp_path / "srv", "--domain", "hub.example.org", "--socket", engine)
    command = petrihub("up", "--state", tmp_path / "srv", "--no-browser")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "docker-compose up -d" in done.stderr


def test_run_again_it_keeps_everything_of_yours(tmp_path: Path, engine: Path) -> None:
    folder = tmp_path / "srv"
    init(folder, "--domain", "hub.example.org", "--socket", engine)
    before = contents(folder)
    (folder / "secrets" / "portal_token").unlink()
    (folder / "compose.yaml").write_text("of an earlier version")
    again = init(folder, "--domain", "other.example.org")
    assert again.returncode == 0, again.stderr
    assert "as before" in again.stdout
    after = contents(folder)
    token = str(folder / "secrets" / "portal_token")
    assert len(after.pop(token)) == 64
    del before[token]
    assert after == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--domain"),
        (("--domain", "not a name"), "domain"),
        (("--domain", "hub.example.org", "--socket", "/nowhere"), "no Docker engine at /nowhere"),
        (("--domain", "hub.example.org", "--socket", __file__), "is not a socket"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    tmp_path: Path, engine: Path, arguments: tuple[str, ...], said: str
) -> None:
    more = () if "--socket" in arguments else ("--socket", engine)
    done = init(tmp_path / "srv", *arguments, *more)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "srv" / "petrihub.toml").exists()
    again = init(tmp_path / "srv", "--domain", "hub.example.org", "--socket", engine)
    assert again.returncode == 0, again.stderr


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path, engine: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    done = init(tmp_path, "--domain", "hub.example.org", "--socket", engine)
    assert done.returncode == 1
    assert "is not empty" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.tex", "engine.sock"}
