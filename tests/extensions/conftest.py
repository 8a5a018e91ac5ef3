"""Fixtures of the user half.

`jupyter_server`   starts a real Jupyter server in a process of its own, with the apps given
`workspace`        one such server for all tests with the small apps of `apps/`, and a client
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

APPS = Path(__file__).parent / "apps"
TOKEN = "a-token-for-tests"
BASE = "/user/ada/one/"
PATIENCE = 60.0


@dataclass
class Running:
    """A Jupyter server that the test started."""

    process: subprocess.Popen[bytes]
    url: str
    home: Path
    log: Path

    def app_url(self, path: str) -> str:
        """A URL on this server from a path that its API answered with."""
        return self.url.removesuffix(BASE) + path


@contextmanager
def serve(
    folder: Path, apps: list[dict[str, Any]] | str, *, lab: bool = False, **environment: str
) -> Iterator[Running]:
    """Runs a Jupyter server on the folder `home` below `folder` until the block ends."""
    home, runtime = folder / "home", folder / "runtime"
    home.mkdir(exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    log = folder / "jupyter.log"
    command = [
        *(sys.executable, "-m", "jupyterlab" if lab else "jupyter_server"),
        *("--no-browser", "--allow-root", "--ServerApp.port=0", f"--ServerApp.base_url={BASE}"),
        *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={home}"),
    ]
    surroundings = {
        **os.environ,
        "HOME": str(home),
        "TMPDIR": str(folder / "tmp"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "PETRIHUB_APPS": apps if isinstance(apps, str) else json.dumps(apps),
        **environment,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=surroundings, cwd=home, stdout=output, stderr=output
        )
    try:
        port = _port(process, runtime, log)
        yield Running(process, f"http://127.0.0.1:{port}{BASE}", home, log)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _port(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> int:
    """Waits until the server has written where it listens, and answers there."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        for info in runtime.glob("jpserver-*.json"):
            try:
                port = int(json.loads(info.read_text())["port"])
                httpx.get(f"http://127.0.0.1:{port}{BASE}api").raise_for_status()
                return port
            except (ValueError, httpx.HTTPError):
                pass
        time.sleep(0.1)
    pytest.fail(f"Jupyter did not start:\n{log.read_text(errors='replace')}")


Serve = Callable[..., Running]


@pytest.fixture
def jupyter_server(tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda apps, **more: stack.enter_context(serve(tmp_path, apps, **more))


class Workspace:
    """A client of the extension's API, signed in with the token."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.home = running.home
        self.client = httpx.AsyncClient(
            base_url=running.url, headers={"Authorization": f"token {TOKEN}"}, timeout=PATIENCE
        )

    async def apps(self) -> dict[str, dict[str, Any]]:
        answer = await self.client.get("petrihub/api/apps")
        answer.raise_for_status()
        return {app["id"]: app for app in answer.json()["apps"]}

    async def open(self, id_: str, path: str | None = None) -> httpx.Response:
        return await self.client.post(f"petrihub/api/apps/{id_}/open", json={"path": path})

    async def stop(self, id_: str, **which: str) -> httpx.Response:
        return await self.client.post(f"petrihub/api/apps/{id_}/stop", json=which)

    async def log(self, id_: str) -> str:
        return (await self.client.get(f"petrihub/api/apps/{id_}/log")).text

    async def opened(self, id_: str, path: str | None = None) -> dict[str, Any]:
        """Opens, waits until the start has ended well or not; the instance."""
        answer = await self.open(id_, path)
        assert answer.status_code == 202, answer.text
        return await self.settled(id_, answer.json()["instance"])

    async def settled(self, id_: str, instance: str) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            app = (await self.client.get(f"petrihub/api/apps/{id_}")).json()
            for each in app["instances"]:
                if each["instance"] == instance:
                    return each if each["state"] != "starting" else None
            return {"state": "stopped", "reason": "", "url": None}

        return await until(look)

    async def page(self, url: str, path: str = "") -> httpx.Response:
        return await self.client.get(self.running.app_url(url) + path)


async def until(look: Callable[[], Any]) -> Any:
    """Waits until `look` gives something; what it gave."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if found := await look():
                return found
            await asyncio.sleep(0.05)


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    return until


def small_apps(folder: Path) -> list[dict[str, Any]]:
    """Descriptors of real little programs."""
    python, web = sys.executable, str(APPS / "web.py")

    def app(id_: str, *command: str, **more: Any) -> dict[str, Any]:
        return {
            "id": id_,
            "title": id_.capitalize(),
            "kind": "web",
            "command": list(command),
            **more,
        }

    def served(id_: str, place: str = "{port}", *rest: str, **more: Any) -> dict[str, Any]:
        return app(id_, python, web, place, str(folder / f"{id_}.marks"), *rest, **more)

    files = {"file_types": [".h5ad"], "needs_file": True}
    return [
        served("hello", environment={"WHERE": "{base_url}"}, icon="vscode"),
        served("onsocket", "{socket}", socket=True),
        served("viewer", "{port}", "{file}", **files),
        served("absolute", absolute_url=True, health="/"),
        app("crash", python, "-c", "print('first'); print('no such genome'); raise SystemExit(3)"),
        app("silent", "sh", "-c", "echo thinking; exec sleep 99") | {"timeout": 5},
        app("absent", "no-such-program-here", requires=["no-such-program-here"])
        | {"missing": "Absent is not installed. Choose another profile."},
        app("unsaid", "no-such-program-here"),
        served("forbidden", unavailable="Your platform admin has switched this off."),
        app("chatty", python, "-c", "for n in range(60_000): print('line', n)"),
        app(
            *("stubborn", python, str(APPS / "stubborn.py"), "{port}"),
            str(folder / "stubborn.pids"),
        ),
        {"id": "wrong", "title": "Wrong", "kind": "web", "command": "rm -rf /"},
    ]


@pytest.fixture(scope="package")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="package")
def shared_server(shared_folder: Path) -> Iterator[Running]:
    home = shared_folder / "home"
    (home / "data").mkdir(parents=True)
    (shared_folder / "home-of-bob").mkdir()
    (shared_folder / "home-of-bob" / "secret.h5ad").touch()
    for name in ("one.h5ad", "two.h5ad", "data/deep {port}.h5ad", "notes.txt"):
        (home / name).write_text("x")
    (home / "out.h5ad").symlink_to(shared_folder / "home-of-bob" / "secret.h5ad")
    (home / "in.h5ad").symlink_to(home / "one.h5ad")
    with serve(shared_folder, small_apps(shared_folder), JUPYTERHUB_API_TOKEN="hub") as running:
        yield running


@pytest_asyncio.fixture
async def workspace(shared_server: Running) -> AsyncIterator[Workspace]:
    workspace = Workspace(shared_server)
    async with workspace.client:
        yield workspace
        for id_ in await workspace.apps():
            await workspace.stop(id_)


@pytest.fixture(scope="package")
def serve_in() -> Callable[..., Any]:
    return serve


@pytest.fixture(scope="package")
def client_of() -> Callable[[Running], Workspace]:
    return Workspace
