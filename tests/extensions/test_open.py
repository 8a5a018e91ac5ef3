"""Apps of a workspace, through a real Jupyter server: open, ready, stop, and who may."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect


def marks(folder: Path, id_: str) -> list[str]:
    file = folder / f"{id_}.marks"
    return file.read_text().split() if file.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_the_list_tells_every_app_and_its_state(workspace: Any) -> None:
    apps = await workspace.apps()
    assert list(apps)[:3] == ["hello", "onsocket", "viewer"]
    assert apps["hello"]["state"] == "stopped"
    assert apps["hello"]["url"] is None
    assert apps["viewer"]["needs_file"] is True
    assert apps["viewer"]["file_types"] == [".h5ad"]


async def test_an_opened_app_becomes_ready_and_answers(workspace: Any) -> None:
    app = await workspace.opened("hello")
    assert app["state"] == "ready"
    page = await workspace.page(app["url"], "some/where?x=1")
    told = page.json()
    assert told["path"] == "/some/where"
    assert told["environment"]["WHERE"] == app["url"]
    assert (await workspace.apps())["hello"]["url"] == app["url"]


async def test_an_app_does_not_get_the_servers_secrets(workspace: Any) -> None:
    app = await workspace.opened("hello")
    environment = (await workspace.page(app["url"])).json()["environment"]
    assert "PATH" in environment
    assert not {"JUPYTERHUB_API_TOKEN", "PETRIHUB_APPS"} & set(environment)


async def test_a_websocket_goes_through(workspace: Any) -> None:
    app = await workspace.opened("hello")
    url = workspace.running.app_url(app["url"]).replace("http", "ws", 1) + "echo"
    headers = {"Authorization": workspace.client.headers["Authorization"]}
    socket = await websocket_connect(HTTPRequest(url, headers=headers))
    await socket.write_message("cell")
    assert await socket.read_message() == "echo cell"
    socket.close()


async def test_an_app_can_listen_on_a_socket_that_nobody_else_reads(workspace: Any) -> None:
    app = await workspace.opened("onsocket")
    assert app["state"] == "ready"
    told = (await workspace.page(app["url"])).json()
    socket = next(argument for argument in told["arguments"] if argument.endswith(".sock"))
    assert os.stat(Path(socket).parent).st_mode & 0o077 == 0
    assert not Path(socket).is_relative_to(workspace.home)


async def test_an_app_that_wants_it_sees_the_whole_path(workspace: Any) -> None:
    app = await workspace.opened("absolute")
    assert (await workspace.page(app["url"], "deep")).json()["path"] == app["url"] + "deep"


async def test_two_files_are_two_instances(workspace: Any) -> None:
    one, two = await asyncio.gather(
        workspace.opened("viewer", "one.h5ad"), workspace.opened("viewer", "data/deep {port}.h5ad")
    )
    assert one["url"] != two["url"]
    shown = [(await workspace.page(each["url"])).json()["files"] for each in (one, two)]
    home = workspace.home
    assert shown == [[str(home / "one.h5ad")], [str(home / "data" / "deep {port}.h5ad")]]
    await workspace.stop("viewer", instance=one["instance"])
    assert (await workspace.page(two["url"])).status_code == 200
    assert (await workspace.page(one["url"])).status_code == 503


async def test_a_link_to_a_file_opens_the_instance_of_that_file(workspace: Any) -> None:
    one = await workspace.opened("viewer", "one.h5ad")
    assert (await workspace.opened("viewer", "in.h5ad"))["url"] == one["url"]


async def test_opening_at_the_same_time_starts_one_process(
    workspace: Any, shared_folder: Path
) -> None:
    before = len(marks(shared_folder, "hello"))
    answers = await asyncio.gather(*(workspace.open("hello") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {202}
    await workspace.opened("hello")
    assert len(marks(shared_folder, "hello")) == before + 1


async def test_opening_answers_at_once_and_the_server_goes_on(workspace: Any) -> None:
    answer = await workspace.open("silent")
    assert answer.json()["state"] == "starting"
    assert (await workspace.client.get("api/status")).status_code == 200


async def test_stop_ends_it_and_twice_is_fine(workspace: Any) -> None:
    app = await workspace.opened("hello")
    pid = (await workspace.page(app["url"])).json()["pid"]
    assert (await workspace.stop("hello")).json()["state"] == "stopped"
    assert not alive(pid)
    assert (await workspace.stop("hello")).status_code == 200
    gone = await workspace.page(app["url"])
    assert gone.status_code == 503
    assert "is not running" in gone.text


async def test_stop_ends_the_stubborn_with_their_children(
    workspace: Any, shared_folder: Path
) -> None:
    await workspace.opened("stubborn")
    pids = [int(pid) for pid in (shared_folder / "stubborn.pids").read_text().split()]
    assert all(alive(pid) for pid in pids)
    await workspace.stop("stubborn")
    assert not any(alive(pid) for pid in pids)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "petrihub/api/apps"),
        ("GET", "petrihub/api/apps/hello"),
        ("GET", "petrihub/api/apps/hello/log"),
        ("GET", "petrihub/api/files?types=.h5ad"),
        ("GET", "petrihub/api/icons/hello"),
        ("POST", "petrihub/api/apps/hello/open"),
        ("POST", "petrihub/api/apps/hello/stop"),
    ],
)
async def test_strangers_are_refused(workspace: Any, method: str, path: str) -> None:
    answer = await httpx.AsyncClient().request(method, workspace.running.url + path, json={})
    assert answer.status_code == 403
    assert (await workspace.apps())["hello"]["state"] == "stopped"


async def test_strangers_do_not_reach_a_running_app(workspace: Any) -> None:
    app = await workspace.opened("hello")
    url = workspace.running.app_url(app["url"])
    async with httpx.AsyncClient() as stranger:
        assert (await stranger.get(url)).status_code == 302
        assert (await stranger.post(url + "die?code=1")).status_code == 403
    with pytest.raises(HTTPClientError) as refusal:
        await websocket_connect(url.replace("http", "ws", 1) + "echo")
    assert refusal.value.code == 403
    assert (await workspace.page(app["url"])).status_code == 200


async def test_a_cookie_alone_does_not_open_an_app(workspace: Any) -> None:
    token = workspace.client.headers["Authorization"].split()[1]
    async with httpx.AsyncClient(base_url=workspace.running.url) as browser:
        await browser.get("login")  # the page brings the XSRF cookie
        await browser.get(f"api/contents?token={token}")
        assert (await browser.get("petrihub/api/apps")).status_code == 200
        forged = await browser.post("petrihub/api/apps/hello/open", json={"path": None})
        assert forged.status_code == 403
        assert "_xsrf" in forged.text
        headers = {"X-XSRFToken": browser.cookies["_xsrf"]}
        meant = await browser.post(
            "petrihub/api/apps/hello/open", json={"path": None}, headers=headers
        )
        assert meant.status_code == 202


async def test_icons_are_pictures_without_scripts(workspace: Any) -> None:
    icon = await workspace.client.get("petrihub/api/icons/hello")
    assert icon.headers["Content-Type"].startswith("image/svg+xml")
    assert "default-src 'none'" in icon.headers["Content-Security-Policy"]
    assert icon.text.startswith("<svg")
    plain = await workspace.client.get("petrihub/api/icons/silent")
    assert plain.text.startswith("<svg")
