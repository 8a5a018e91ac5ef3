"""The image service as far as the checkpointer sees it, for tests that need it to misbehave.

The real one is tested with the real checkpointer in tests/images.
"""

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from typing import Any

Json = dict[str, Any]
CREDENTIAL = "instance.the-credential"


class Desk:
    """Gives orders, takes results. `silent` answers are an error first; `gone` refuses progress.

    Whoever tells that it is at the stage `hold` hears nothing, and `held` is set.
    """

    def __init__(self) -> None:
        self.orders: Queue[Json] = Queue()
        self.results: Queue[Json] = Queue()
        self.told: list[Json] = []
        self.asked: list[str] = []
        self.silent = 0
        self.gone = False
        self.hold = ""
        self.held = threading.Event()
        self._server = _Server(self)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        super().__init__(("", 0), _Door)


class _Door(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        if not self.allowed():
            return
        if self.path.startswith("/token"):
            self.reply(200, {"token": "a-token"})
            return
        with suppress(Empty):
            self.reply(200, self.server.desk.orders.get(timeout=1))
            return
        self.reply(204)

    def do_POST(self) -> None:
        desk = self.server.desk
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed():
            return
        if self.path.endswith("/progress"):
            desk.told.append(body)
            if body["stage"] == desk.hold:
                desk.held.set()
                self.rfile.read(1)  # without an answer, until who asks has ended
                return
            self.reply(410 if desk.gone else 204)
        else:
            desk.results.put({**body, "order": self.path.split("/")[4]})
            self.reply(204)

    def allowed(self) -> bool:
        desk = self.server.desk
        desk.asked.append(self.path)
        if self.headers["Authorization"] != f"Bearer {CREDENTIAL}":
            self.reply(401)
            return False
        if desk.silent:
            desk.silent -= 1
            self.reply(503)
            return False
        return True

    def reply(self, status: int, body: Json | None = None) -> None:
        content = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        with suppress(BrokenPipeError):  # whoever asked was killed
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        pass


def order(kind: str, registry: str, base: tuple[Json, Json], **more: Any) -> Json:
    """An order as the service words it."""
    manifest, config = base
    return {
        "id": "order-1",
        "kind": kind,
        "repository": "checkpoints/p/w",
        "registry": registry,
        "base": {"repository": "base/x", "manifest_digest": "sha256:0"},
        "manifest": manifest,
        "config": config,
        "history": {"author": "Ada", "comment": "before", "created": "2026-11-22T00:00:00Z"},
        "accept_findings": [],
        **more,
    }
