"""What is said when a checkpoint cannot be fetched (F13): words of its own for each failure.

The image server is a stand-in: its failures cannot be had from the real one.
"""

import base64
import hashlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from petrihub_core.deployment import Deployment
from petrihub_core.image_server import TOKEN_SECONDS, ensure_registry_key
from petrihub_spawner.backends import pulling
from petrihub_spawner.backends.pulling import fetch, require_whole
from petrihub_spawner.runner import Silent
from petrihub_spawner.stages import LONGEST_FETCH, Stage, StartFailed

REPOSITORY = "checkpoints/p/w"
LAYER = b"a layer"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


MANIFEST = json.dumps(
    {
        "config": {"digest": digest(b"config"), "size": 6},
        "layers": [{"digest": digest(LAYER), "size": len(LAYER)}],
    }
).encode()
SIZES = {digest(b"config"): 6, digest(LAYER): len(LAYER)}


class Server(ThreadingHTTPServer):
    """Answers as it is told to."""

    status, content, sizes, hangs, asked = 200, MANIFEST, SIZES, False, 0

    def reference(self) -> str:
        return f"127.0.0.1:{self.server_port}/{REPOSITORY}@{digest(MANIFEST)}"


class Answer(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.server.hangs:
            self.server.over.wait()  # type: ignore[attr-defined]
        self._answer(self.server.status, len(self.server.content))
        self.wfile.write(self.server.content)

    def do_HEAD(self) -> None:
        size = self.server.sizes.get(self.path.rpartition("/")[2])
        self._answer(404 if size is None else 200, size or 0)

    def _answer(self, status: int, size: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Answer)
    made.over = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.over.set()  # type: ignore[attr-defined]
    made.shutdown()
    made.server_close()


async def test_what_is_whole_passes(server: Server) -> None:
    sizes = await require_whole(server.reference(), REPOSITORY, "token")
    assert sizes == {digest(LAYER): len(LAYER)}


async def test_the_engine_may_ask_for_a_part_hours_later(server: Server, tmp_path: Path) -> None:
    """F14: a token of minutes would end a slow fetch at its fourth layer."""
    deployment = Deployment(state=tmp_path, backend="docker")
    ensure_registry_key(deployment)
    given = []

    class Told:
        async def pull(self, reference: str, token: str) -> AsyncIterator[dict[str, Any]]:
            given.append(token)
            yield {}

    async def asked_with(size: int) -> dict[str, Any]:
        layer = {"digest": digest(LAYER), "size": size}
        config = {"digest": digest(b"config"), "size": 6}
        server.content = json.dumps({"config": config, "layers": [layer]}).encode()
        server.sizes = {digest(b"config"): 6, digest(LAYER): size}
        reference = server.reference().partition("@")[0] + "@" + digest(server.content)
        await fetch(deployment, Told(), reference, REPOSITORY, Silent())  # type: ignore[arg-type]
        claims: dict[str, Any] = json.loads(
            base64.urlsafe_b64decode(given[-1].split(".")[1] + "==")
        )
        return claims

    seconds = {}
    for size in (1000, 25_000_000, 5_000_000_000):
        claims = await asked_with(size)
        seconds[size] = claims["exp"] - claims["iat"]
        assert claims["access"] == [{"type": "repository", "name": REPOSITORY, "actions": ["pull"]}]
    assert list(seconds.values()) == [TOKEN_SECONDS, TOKEN_SECONDS + 1000, LONGEST_FETCH]


def answers(status: int) -> Callable[[Server], None]:
    return lambda server: setattr(server, "status", status)


def stopped(server: Server) -> None:
    server.shutdown()
    server.server_close()


FAILURES: dict[str, Callable[[Server], None]] = {
    "refused to give": answers(401),
    "not in the image server any more": answers(404),
    "too much to do": answers(429),
    r"has an error \(500\)": answers(500),
    "was changed": lambda server: setattr(server, "content", MANIFEST + b" "),
    "is missing": lambda server: setattr(server, "sizes", {digest(b"config"): 6}),
    "is damaged": lambda server: setattr(server, "sizes", {**SIZES, digest(LAYER): 3}),
    "does not answer": lambda server: setattr(server, "hangs", True),
    "does not run": stopped,
}


async def test_too_much_to_do_and_errors_are_asked_again_refusals_are_not(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "_PAUSES", (0.01, 0.01))
    for status, times in ((429, 3), (503, 3), (401, 1), (404, 1)):
        server.asked, server.status = 0, status
        with pytest.raises(StartFailed):
            await require_whole(server.reference(), REPOSITORY, "token")
        assert server.asked == times


@pytest.mark.parametrize("words", FAILURES)
async def test_each_failure_has_words_of_its_own_and_the_next_step(
    server: Server, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pulling._ANSWER.read <= 8  # an error is named within ten seconds
    monkeypatch.setattr(pulling, "_ANSWER", httpx.Timeout(1))
    monkeypatch.setattr(pulling, "_PAUSES", (0.01,))
    reference = server.reference()
    FAILURES[words](server)
    with pytest.raises(StartFailed, match=words) as failure:
        await require_whole(reference, REPOSITORY, "token")
    assert failure.value.stage == Stage.PREPARING
    assert failure.value.hint
