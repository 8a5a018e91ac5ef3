"""`petrihub up` as a newcomer runs it: two lines, one instance, Ctrl-C, take-over, refusals."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from petrihub_core.ports import free_port

from tests.platform import Up, petrihub, start_up

pytestmark = pytest.mark.timeout(1800)


def processes_of(state: Path) -> list[str]:
    """What still runs out of this state folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        try:
            works_there = Path(process.cwd()).is_relative_to(state)
        except (psutil.Error, OSError):
            works_there = False
        if str(state) in line or works_there:
            found.append(line)
    return found


@pytest.fixture
def start() -> Iterator[Callable[[Path, int], Up]]:
    """`petrihub up` on the local backend; what a failed test leaves running is ended."""
    runs: list[Up] = []

    def start_local(state: Path, port: int) -> Up:
        runs.append(start_up(state, "local", port))
        return runs[-1]

    yield start_local
    for run in runs:
        if run.process.poll() is None:
            run.interrupt()


def test_from_nothing_to_ready_and_back(tmp_path: Path, start: Callable[[Path, int], Up]) -> None:
    state = tmp_path / "state"
    port = free_port()
    run = start(state, port)
    assert run.url == f"http://127.0.0.1:{port}"
    assert run.first_admin.startswith(f"http://127.0.0.1:{port}/hub/welcome#")
    assert httpx.get(run.url, follow_redirects=True).status_code == 200

    second = subprocess.run(
        petrihub("up", "--state", state, "--no-browser"), capture_output=True, text=True
    )
    assert second.returncode == 1
    assert "already running" in second.stderr
    assert run.url in second.stderr

    again = subprocess.run(
        petrihub("admin", "link", "--state", state), capture_output=True, text=True, check=True
    )
    assert "First admin: " in again.stdout
    assert again.stdout.split("#")[1] != run.first_admin.split("#")[1]

    assert run.interrupt() == 0
    assert processes_of(state) == []


def test_a_hub_left_behind_is_taken_over(tmp_path: Path, start: Callable[[Path, int], Up]) -> None:
    state = tmp_path / "state"
    port = free_port()
    first = start(state, port)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    assert processes_of(state), "the hub was meant to outlive its command"

    second = start(state, port)
    assert second.url == first.url
    assert "left behind" in second.text
    assert second.interrupt() == 0
    assert processes_of(state) == []


def test_a_taken_port_is_named_and_nothing_is_started(
    tmp_path: Path, start: Callable[[Path, int], Up]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        run = start(tmp_path / "state", port)
        assert run.process.wait(60) == 1
    assert f"Port {port}" in run.text
    assert "--port" in run.text
    assert processes_of(tmp_path / "state") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("up", "--backend", "vmware"), "'local' or 'docker'"),
        (("admin", "link"), "There is no PetriHub in"),
        (("admin", "reset", "ada"), "There is no PetriHub in"),
        (("config", "check"), "cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = subprocess.run(
        petrihub(*arguments, "--state", tmp_path / "none"),
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_config_check_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "petrihub.toml").write_text('backend = "local"\nprot = 1\n')
    done = subprocess.run(
        petrihub("config", "check", "--state", tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "petrihub.toml:2: prot" in done.stderr
    (tmp_path / "petrihub.toml").write_text('backend = "docker"\n')
    done = subprocess.run(
        petrihub("config", "check", "--state", tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "is usable: backend docker" in done.stdout
