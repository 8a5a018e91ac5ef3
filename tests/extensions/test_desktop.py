"""The Linux desktop and the programs on it, with the real X server."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

APPS = Path(__file__).parent / "apps"
NEEDED = ("openbox", "xterm")
missing = [program for program in NEEDED if not shutil.which(program)]
if not (shutil.which("Xvnc") or shutil.which("Xtigervnc")):
    missing.append("Xvnc")
pytestmark = pytest.mark.skipif(
    bool(missing), reason=f"apt-get install tigervnc-standalone-server openbox xterm ({missing})"
)


def desktop_apps(folder: Path) -> list[dict[str, Any]]:
    batch = {
        "command": [str(APPS / "batch.py"), "--port", "{port}", "{file}"],
        "environment": {"TOLD": str(folder / "told")},
    }
    window = {"kind": "desktop", "timeout": 30}
    return [
        {"id": "desktop", "title": "Desktop", "kind": "desktop", "command": ["openbox"]},
        {"id": "igv", "title": "IGV", "file_types": [".bam"], **batch, **window},
        {"id": "term", "title": "Term", "command": ["xterm", "-e", "cat"], **window},
        {"id": "broken", "title": "Broken", "command": ["xterm", "-no-such-option"], **window},
        {"id": "gone", "title": "Gone", "command": ["gone"], "requires": ["gone"], **window},
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("desktop")


@pytest.fixture(scope="module")
def running(folder: Path, serve_in: Callable[..., Any]) -> Iterator[Any]:
    (folder / "home").mkdir()
    for name in ("reads.bam", "more reads.bam", "bad.bam"):
        (folder / "home" / name).touch()
    with serve_in(folder, desktop_apps(folder)) as running:
        yield running


@pytest_asyncio.fixture
async def desk(running: Any, client_of: Callable[..., Any]) -> AsyncIterator[Any]:
    workspace = client_of(running)
    async with workspace.client:
        yield workspace
        await workspace.stop("desktop")


async def test_the_desktop_shows_its_page_and_speaks_vnc(desk: Any) -> None:
    assert (await desk.client.get("petrihub/desktop/")).status_code == 503
    desktop = await desk.opened("desktop")
    assert desktop["state"] == "ready", desktop["reason"]
    page = await desk.page(desktop["url"])
    assert page.status_code == 200
    assert (await desk.page(desktop["url"], "static/dist/viewer.js")).status_code == 200
    assert (await desk.page(desktop["url"], "frame/desktop.css")).status_code == 200
    url = desk.running.url.replace("http", "ws", 1) + "petrihub/desktop-websockify/"
    headers = {"Authorization": desk.client.headers["Authorization"]}
    socket = await websocket_connect(HTTPRequest(url, headers=headers))
    assert await socket.read_message() == b"RFB 003.008\n"
    socket.close()


async def test_a_program_brings_the_desktop_and_is_ready_with_its_window(desk: Any) -> None:
    term = await desk.opened("term")
    assert term["state"] == "ready", term["reason"]
    apps = await desk.apps()
    assert apps["desktop"]["state"] == "ready"
    assert term["url"] == apps["desktop"]["url"]


async def test_a_program_that_ends_at_once_says_why(desk: Any) -> None:
    broken = await desk.opened("broken")
    assert broken["state"] == "failed"
    assert "Broken stopped at its start (exit code 1)" in broken["reason"]
    assert (await desk.apps())["desktop"]["state"] == "ready"


async def test_stopping_the_desktop_stops_what_is_on_it(desk: Any) -> None:
    await desk.opened("term")
    await desk.stop("desktop")
    apps = await desk.apps()
    assert (apps["desktop"]["state"], apps["term"]["state"]) == ("stopped", "stopped")


async def test_igv_gets_the_next_file_into_its_open_window(desk: Any, folder: Path) -> None:
    home = folder / "home"
    first = await desk.opened("igv", "reads.bam")
    assert first["state"] == "ready", first["reason"]
    second = await desk.open("igv", "more reads.bam")
    assert (second.status_code, second.json()["path"]) == (202, "more reads.bam")
    told = (folder / "told").read_text().splitlines()
    assert told == [f"started ['{home}/reads.bam']", "tofront", f'load "{home}/more reads.bam"']
    refused = await desk.open("igv", "bad.bam")
    assert refused.status_code == 409
    assert refused.json()["message"] == "IGV could not load bad.bam: ERROR unknown genome"


async def test_a_missing_program_is_greyed_though_the_desktop_is_there(desk: Any) -> None:
    gone = (await desk.apps())["gone"]
    assert gone["state"] == "unavailable"
    assert gone["reason"] == "Gone is not installed in this workspace (gone)."


async def test_without_an_x_server_all_of_it_is_greyed(
    jupyter_server: Callable[..., Any], client_of: Callable[..., Any], tmp_path: Path
) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    apps = [{**each, "requires": []} for each in desktop_apps(tmp_path)]
    desk = client_of(jupyter_server(apps, PATH=str(empty)))
    async with desk.client:
        told = await desk.apps()
        assert {app["state"] for app in told.values()} == {"unavailable"}
        assert told["desktop"]["reason"] == (
            "The Linux desktop is not installed in this workspace (no Xvnc)."
        )
        assert told["term"]["reason"].startswith("Term needs the desktop.")
