"""A whole PetriHub, started by its own command, as the tests drive it."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from petrihub_core.ports import free_port, port_is_free
from petrihub_spawner.pod.model import DEPLOYMENT_LABEL

if TYPE_CHECKING:
    from docker import APIClient

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "petrihub" / "tests"
INSTALLED = CACHE / "installed"  # a state folder; what is installed there is for all tests
# only where Debian's own is installed: the fixture `chromium` looks
CHROMIUM = str(Path(__file__).with_name("chromium.py"))
BROWSER_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORD = "a password for tests only"
READY = re.compile(r"PetriHub is ready: (\S+)")
FIRST_ADMIN = re.compile(r"First admin: (\S+)")


def petrihub(*arguments: object) -> list[str]:
    """The command line of our own command in this environment."""
    return [str(Path(sys.executable).with_name("petrihub")), *map(str, arguments)]


@dataclass
class Up:
    """A running `petrihub up`: what it printed, and how to end it."""

    state: Path
    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    @property
    def url(self) -> str:
        found = READY.search(self.text)
        assert found, self.text
        return found[1]

    @property
    def first_admin(self) -> str:
        # the line after the one that says ready: it may still be on its way
        for _ in range(100):
            if found := FIRST_ADMIN.search(self.text):
                return found[1]
            time.sleep(0.1)
        raise AssertionError(self.text)

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(120)


def start_up(state: Path, backend: str, port: int, *, timeout_s: float = 1500) -> Up:
    """Run `petrihub up` until it says that it is ready, or has ended."""
    state.mkdir(parents=True, exist_ok=True)
    if not (state / "made").exists():
        (state / "made").symlink_to(INSTALLED / "made")
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    more = ["--ca-bundle", bundle] if backend == "docker" and bundle.exists() else []
    process = subprocess.Popen(
        petrihub(
            "up", "--state", state, "--backend", backend, "--port", port, "--no-browser", *more
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    run = Up(state, process)

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            run.lines.append(line)
            if READY.search(line):
                run.ready.set()
        run.ready.set()  # it has ended: let the waiting test read what it said

    threading.Thread(target=read, daemon=True).start()
    assert run.ready.wait(timeout_s), f"not ready after {timeout_s} s:\n{run.text}"
    return run


def wait_until_up(url: str, process: "subprocess.Popen[Any]", log: Path) -> None:
    """Until the server in this process answers at `url`; fails with its log if it ends before."""
    while True:
        assert process.poll() is None, log.read_text(errors="replace")
        with suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(0.1)


def ports_in_a_row(count: int) -> int:
    """The first of so many ports that nobody listens on."""
    while True:
        first = free_port()
        if all(port_is_free("127.0.0.1", first + more) for more in range(1, count)):
            return first


def remove_everything(engine: "APIClient", deployment_id: str) -> None:
    """What this deployment made on the engine: volumes and the hub's network too."""
    mine = {"label": f"{DEPLOYMENT_LABEL}={deployment_id}"}
    for each in engine.containers(all=True, filters=mine):
        engine.remove_container(each["Id"], force=True, v=True)
    for each in engine.networks(filters=mine):
        engine.remove_network(each["Id"])
    for each in engine.volumes(filters=mine)["Volumes"] or []:
        engine.remove_volume(each["Name"])
