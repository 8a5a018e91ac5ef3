"""A viewer with a client of their own making: the shared document takes nothing from them."""

import asyncio
import time

import pytest
from tornado.websocket import WebSocketClientConnection

from tests.portal.guests import Guest, Site
from tests.portal.workspaces import WORKSPACE, Inside, Studio, closed, make_guest, text
from tests.portal.ywire import edit_of, presence, state_of, told

pytestmark = pytest.mark.timeout(300)
SAVED_S = 30.0


async def room(inside: Inside, path: str) -> WebSocketClientConnection:
    """The room of a text file, entered as JupyterLab does."""
    socket = await inside.socket(address(inside, path))
    assert not isinstance(socket, int), socket
    return socket


def address(inside: Inside, path: str) -> str:
    """Where the room of a text file is."""
    wanted = {"format": "text", "type": "file"}
    session = inside.call("PUT", f"api/collaboration/session/{path}", json=wanted).json()
    name = f"text:file:{session['fileId']}"
    return f"api/collaboration/room/{name}?sessionId={session['sessionId']}"


def content(studio: Studio, path: str) -> str:
    read = studio.of(studio.owner).call("GET", f"api/contents/{path}").json()
    return str(read["content"])


async def saved(studio: Studio, path: str, words: str) -> None:
    """Wait until the room has saved this."""
    until = time.monotonic() + SAVED_S
    while (found := content(studio, path)) != words and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    assert found == words


async def still(studio: Studio, path: str, words: str) -> None:
    """What was sent is not saved either: the room saves a second after an edit."""
    await asyncio.sleep(2.5)
    assert content(studio, path) == words


@pytest.fixture
async def bob(site: Site) -> Guest:
    return await make_guest(site)


async def test_an_edit_of_a_viewer_is_dropped_and_presence_passes(
    studio: Studio, bob: Guest
) -> None:
    mine = studio.of(studio.owner)
    mine.call("PUT", "api/contents/wire.txt", json=text("first"))
    owners = await room(mine, "wire.txt")
    theirs = await room(studio.let_in(bob, "view"), "wire.txt")
    state = await state_of(theirs)
    await theirs.write_message(edit_of(state, " and broken"), binary=True)
    await theirs.write_message(b"\x02\x04save\x01", binary=True)
    await theirs.write_message("not even bytes")
    await theirs.write_message(presence(4711, '{"user":{"name":"bob"}}'), binary=True)
    seen = await told(owners, lambda m: m[0] == 1 and b'"bob"' in m)
    assert seen
    await still(studio, "wire.txt", "first")
    await owners.write_message(edit_of(await state_of(owners), " and second"), binary=True)
    assert await told(theirs, lambda m: b"and second" in m)
    await saved(studio, "wire.txt", "first and second")
    owners.close()
    theirs.close()


async def test_from_work_to_view_takes_effect_in_an_open_document(
    studio: Studio, bob: Guest
) -> None:
    mine = studio.of(studio.owner)
    mine.call("PUT", "api/contents/mode.txt", json=text("one"))
    inside = studio.let_in(bob, "work")
    theirs = await room(inside, "mode.txt")
    await theirs.write_message(edit_of(await state_of(theirs), " two"), binary=True)
    await saved(studio, "mode.txt", "one two")
    studio.share(kind="person", mode="view", who=bob.name)
    await closed(theirs, within=8)
    again = await room(inside, "mode.txt")
    await again.write_message(edit_of(await state_of(again), " three"), binary=True)
    await still(studio, "mode.txt", "one two")
    again.close()


async def test_no_websocket_but_the_document_opens_for_a_viewer(studio: Studio, bob: Guest) -> None:
    inside = studio.let_in(bob, "view")
    kernel = studio.of(studio.owner).call("POST", "api/kernels", json={}).json()["id"]
    terminal = studio.of(studio.owner).call("POST", "api/terminals", json={}).json()["name"]
    for path in (
        f"api/kernels/{kernel}/channels",
        f"terminals/websocket/{terminal}",
        "api/events/subscribe",
        "lsp/ws/pylsp",
        "proxy/8888/socket",
        "petrihub/app/vscode/socket",
        "petrihub/desktop-websockify/",
    ):
        assert await inside.socket(path) == 403, path
    assert inside.call("GET", "api/kernels").json() == []
    assert inside.call("GET", "api/sessions").json() == []
    assert inside.call("POST", f"api/kernels/{kernel}/interrupt").status_code == 403
    assert inside.call("DELETE", f"api/kernels/{kernel}").status_code == 403


async def test_too_many_shares_are_refused_in_words(studio: Studio) -> None:
    made = 0
    for _ in range(40):
        answer = studio.owner.api(
            "POST", f"workspaces/{WORKSPACE}/shares", {"kind": "link", "mode": "view", "hours": 1}
        )
        if answer.status_code != 201:
            break
        made += 1
    assert (answer.status_code, made <= 20) == (409, True)
    assert "no more are allowed" in answer.json()["detail"]
    assert studio.owner.api("DELETE", f"workspaces/{WORKSPACE}/shares").status_code == 204
    assert studio.hub.shares(studio.owner, WORKSPACE) == {}


async def test_a_foreign_page_gets_no_websocket(studio: Studio, bob: Guest) -> None:
    for inside in (studio.of(studio.owner), studio.let_in(bob, "work")):
        where = address(inside, "notes.txt")
        for origin in ("https://evil.example", f"{studio.site.url}.evil.example", "null"):
            assert await inside.socket(where, origin=origin) == 403, origin


async def test_a_hidden_file_is_not_read_through_a_room(studio: Studio, bob: Guest) -> None:
    home = studio.site.deployment.homes / studio.owner.person_id
    (home / ".secret.txt").write_text("the secret")
    inside = studio.let_in(bob, "view")
    assert inside.call("GET", "api/contents/.secret.txt").status_code == 404
    assert inside.call("GET", "files/.secret.txt").status_code in (403, 404)
    socket = await room(inside, ".secret.txt")
    heard = []
    async with asyncio.timeout(60):
        while (message := await socket.read_message()) is not None:
            heard.append(message)
    assert not [each for each in heard if b"the secret" in each]  # type: ignore[operator]
