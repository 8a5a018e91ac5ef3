"""Archives of checkpoints over HTTP: received in parts by the portal, sent in parts by the page.

What becomes of them is shown in tests/images/test_archives.py. This platform has no image server.
"""

import json
import os
import re
import socket
import struct
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader
from playwright.sync_api import Page, Route, expect

import petrihub_portal
from petrihub_core import checkpoint_imports
from petrihub_core.checkpoint_imports import PART
from petrihub_core.database import Database
from petrihub_core.records import Person

from tests.portal.browsing import look_at, newcomer
from tests.portal.conftest import Visit
from tests.portal.guests import PORTAL, Guest, Site
from tests.portal.test_checkpoints import ordered, running


async def test_an_archive_is_received_in_parts(guest: Guest, boss: Guest, tables: Database) -> None:
    deployment = guest.site.deployment
    content = bytes(range(256)) * 40  # also a NUL, which no text may hold
    async with tables.session() as session:
        person = await session.get_one(Person, guest.person_id)
        row = await checkpoint_imports.begin(session, deployment, guest.name, person, len(content))

    def send(who: Guest, offset: int, part: bytes) -> int:
        path = f"api/v1/my/checkpoint-imports/{row.id}/parts"
        answer = who.send("POST", path, data={"offset": offset}, files={"part": ("part", part)})
        return answer.status_code

    assert send(guest, 0, content[:4000]) == 200
    assert send(boss, 4000, content[4000:]) == 404
    assert send(guest, 0, content[:4000]) == 409
    assert send(guest, 4000, content) == 400
    assert send(guest, 4000, b"x" * (PART + 100_000)) == 413
    state = guest.api("GET", f"my/checkpoint-imports/{row.id}").json()
    assert (state["received"], state["state"]) == (4000, "receiving")
    assert send(guest, 4000, content[4000:]) == 200
    assert guest.api("GET", f"my/checkpoint-imports/{row.id}").json()["state"] == "checking"
    assert boss.api("GET", f"my/checkpoint-imports/{row.id}").status_code == 404
    assert checkpoint_imports.file_of(deployment, row.id).read_bytes() == content


async def test_f40_a_part_that_is_cut_leaves_nothing_behind_and_can_be_sent_again(
    guest: Guest, tables: Database
) -> None:
    """F40: a reset after 1 %, 50 %, 99.9 % and all of it, before anybody read the answer."""
    deployment = guest.site.deployment
    content = os.urandom(4 * 2**20)
    async with tables.session() as session:
        person = await session.get_one(Person, guest.person_id)
        row = await checkpoint_imports.begin(session, deployment, guest.name, person, len(content))
    file = checkpoint_imports.file_of(deployment, row.id)
    log = deployment.state / "logs" / "hub.log"
    read = log.stat().st_size
    path = f"my/checkpoint-imports/{row.id}"
    received, size = 0, 2**20
    for share in (0.01, 0.5, 0.999, 1):
        cut(guest, f"api/v1/{path}/parts", received, content[received : received + size], share)
        found = guest.api("GET", path).json()["received"]
        if share < 1:  # of all of it nobody can know whether it arrived
            assert found == received
        sent = {"offset": found}, {"part": ("part", content[found : found + size])}
        answer = guest.send("POST", f"api/v1/{path}/parts", data=sent[0], files=sent[1])
        if answer.status_code == 409:  # it arrived in this moment
            assert share == 1
            found = guest.api("GET", path).json()["received"]
        else:
            assert answer.status_code == 200, answer.text
            found = answer.json()["received"]
        assert file.stat().st_size == found
        received = found
    if received < len(content):
        sent = {"offset": received}, {"part": ("part", content[received:])}
        guest.send("POST", f"api/v1/{path}/parts", data=sent[0], files=sent[1])
    assert guest.api("GET", path).json()["state"] == "checking"
    assert file.read_bytes() == content
    written = log.read_bytes()[read:]
    assert b"broken off by the sender" in written
    assert b"unexpected error" not in written


def cut(guest: Guest, path: str, offset: int, part: bytes, share: float) -> None:
    """Send so much of the request, then reset the connection."""
    request = guest.client.build_request(
        "POST",
        f"{PORTAL}{path}",
        data={"offset": offset},
        files={"part": ("part", part)},
        headers={"X-XSRFToken": guest.xsrf},
    )
    body = request.read()
    head = f"POST {request.url.raw_path.decode()} HTTP/1.1\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection((request.url.host, request.url.port or 80)) as wire:
        wire.sendall(head.encode() + b"\r\n" + body[: int(len(body) * share)])
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def test_without_an_image_server_both_are_refused_in_words(
    guest: Guest, tables: Database
) -> None:
    await running(tables, guest)
    mine = await ordered(tables, guest, "mine")
    for answer in (
        guest.api("GET", f"my/checkpoints/{mine}/export"),
        guest.api("POST", "my/checkpoint-imports", {"size": 10}),
    ):
        assert answer.status_code == 501
        assert "Checkpoints need the Docker backend" in answer.json()["detail"]


class Server:
    """Answers as the portal does where there is an image server."""

    def __init__(self, reason: str, *, cuts: int = 0) -> None:
        self.reason, self.cuts = reason, cuts
        self.parts: list[bytes] = []
        self.size = 0

    def answer(self, route: Route) -> None:
        request = route.request
        assert request.method == "GET" or request.headers["x-xsrftoken"]
        if request.url.endswith("/parts") and len(self.parts) == 1 and self.cuts:
            self.cuts -= 1
            route.fulfill(status=503, content_type="text/html", body="<p>as the proxy says it")
            return
        if request.url.endswith("/parts"):
            body = request.post_data_buffer or b""
            found = re.search(rb'filename="blob".*?\r\n\r\n(.*)\r\n--', body, re.DOTALL)
            assert found
            assert f'name="offset"\r\n\r\n{self.received}\r\n'.encode() in body
            self.parts.append(found[1])
        elif request.method == "POST":
            self.size = request.post_data_json["size"]
        state = "receiving" if self.received < self.size else "checking"
        if request.method == "GET" and state == "checking":
            state = "failed" if self.reason else "done"
        told = {
            "id": "i1",
            "state": state,
            "size": self.size,
            "received": self.received,
            "part_size": 1000,
            "reason": self.reason,
            "result": "c1",
        }
        route.fulfill(status=200, content_type="application/json", body=json.dumps(told))

    @property
    def received(self) -> int:
        return sum(map(len, self.parts))


@pytest.fixture(scope="module")
def ada(site: Site) -> Guest:
    return newcomer(site)


def import_page(page: Page, server: Server) -> None:
    """The page of checkpoints as it is where there is an image server."""
    templates = Path(petrihub_portal.__file__).parent / "templates"
    part = Environment(loader=FileSystemLoader(templates), autoescape=True).get_template(
        "parts/checkpoint_import.html"
    )

    def whole(route: Route) -> None:
        found = route.fetch()
        html = found.text().replace("</main>", part.render(portal=PORTAL) + "</main>")
        route.fulfill(response=found, body=html)

    page.route(re.compile(f"{PORTAL}checkpoints$"), whole)
    page.route(re.compile("/my/checkpoint-imports"), server.answer)
    page.goto(f"{PORTAL}checkpoints")


@pytest.mark.browser
def test_the_page_sends_a_file_in_parts_and_waits(visit: Visit, ada: Guest, tmp_path: Path) -> None:
    file = tmp_path / "it.tar"
    file.write_bytes(bytes(range(256)) * 10)
    page, server = visit(ada), Server("", cuts=2)  # it goes on by itself
    import_page(page, server)
    look_at(page, "checkpoint-import")
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Import", exact=True).click()
    page.wait_for_url(re.compile("#checkpoint-c1$"))
    assert [len(each) for each in server.parts] == [1000, 1000, 560]
    assert b"".join(server.parts) == file.read_bytes()


@pytest.mark.browser
def test_the_page_says_why_a_file_is_not_taken(visit: Visit, ada: Guest, tmp_path: Path) -> None:
    file = tmp_path / "it.tar"
    file.write_bytes(b"x" * 10)
    page = visit(ada)
    import_page(page, Server("This archive is signed by somebody else."))
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("status").last).to_have_text("This archive is signed by somebody else.")
    expect(page.get_by_role("button", name="Import", exact=True)).to_be_enabled()
