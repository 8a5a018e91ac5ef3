"""What the server extension reads beside the apps: mounts, and the portal's answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from petrihub_extensions.checkpoints.portal import NOT_HERE, Portal
from petrihub_extensions.errors import AppError
from petrihub_extensions.mounts import read_mounts


@pytest.mark.parametrize(
    "content",
    ["", "no json", "[]", "{}", '{"mounts": {}}', '{"mounts": ["x"]}', "\xff", '{"mounts": [{'],
)
def test_a_file_that_is_not_as_it_should_be_says_nothing(tmp_path: Path, content: str) -> None:
    place = tmp_path / "mounts.json"
    assert read_mounts(place) is None
    place.write_text(content, encoding="latin-1")
    assert read_mounts(place) is None


def test_mounts_are_told_as_texts_and_nothing_else_of_them(tmp_path: Path) -> None:
    place = tmp_path / "mounts.json"
    told = {"path": "/mnt/public", "title": "Public", "state": "lost", "since": 12, "key": "x"}
    place.write_text(json.dumps({"mounts": [told]}))
    assert read_mounts(place) == [
        {"path": "/mnt/public", "title": "Public", "state": "lost", "reason": "", "since": "12"}
    ]


async def test_without_an_image_server_it_says_what_that_needs() -> None:
    with pytest.raises(AppError) as refused:
        await Portal.of({"JUPYTERHUB_API_TOKEN": "x"}).ask("GET")
    assert (refused.value.status, refused.value.message) == (501, NOT_HERE)


@pytest.fixture
def broken() -> Iterator[str]:
    """A front that answers, but not with the portal's words."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.endswith("/hangs-up"):
                return
            self.send_response(401 if self.path.endswith("/ended") else 502)
            self.end_headers()
            said = {"detail": "This workspace has ended.", "hint": ""}
            self.wfile.write(json.dumps(said).encode() if "ended" in self.path else b"<html>")

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_what_the_portal_cannot_say_is_said_here(broken: str) -> None:
    with pytest.raises(AppError, match="PetriHub does not answer") as silent:
        await Portal(broken, "x").ask("GET")
    assert silent.value.status == 503
    with pytest.raises(AppError, match="does not answer"):
        await Portal(broken, "x").ask("GET", "/hangs-up")
    with pytest.raises(AppError, match="does not answer"):
        await Portal("http://127.0.0.1:1", "x").ask("GET")
    # a browser that gets 401 would go to the sign-in: it is not the browser that is refused
    with pytest.raises(AppError, match="has ended") as ended:
        await Portal(broken, "x").ask("GET", "/ended")
    assert ended.value.status == 409
