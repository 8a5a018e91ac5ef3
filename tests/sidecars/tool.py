"""A tool that knows nothing of people: says what reached it. `python tool.py PORT [ADDRESS]`."""

import asyncio
import hashlib
import os
import sys

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler, stream_request_body
from tornado.websocket import WebSocketHandler


class Echo(RequestHandler):
    def prepare(self) -> None:
        self.set_header("Server", "tool")

    def get(self) -> None:
        self.write(
            {
                "method": self.request.method,
                "uri": self.request.uri,
                "headers": [list(pair) for pair in self.request.headers.get_all()],
                "environment": dict(os.environ),
            }
        )

    post = delete = get

    def head(self) -> None:
        self.set_header("Content-Length", "12345")


@stream_request_body
class Upload(RequestHandler):
    def prepare(self) -> None:
        self.digest, self.count = hashlib.sha256(), 0

    def data_received(self, chunk: bytes) -> None:
        self.digest.update(chunk)
        self.count += len(chunk)

    def put(self) -> None:
        self.write({"sha256": self.digest.hexdigest(), "bytes": self.count})


class Big(RequestHandler):
    async def get(self) -> None:
        piece = bytes(range(256)) * 4096
        pieces = int(self.get_argument("mib"))
        if self.get_argument("length", ""):
            self.set_header("Content-Length", str(len(piece) * pieces))
        for _ in range(pieces):
            self.write(piece)
            await self.flush()


class Slowly(RequestHandler):
    """Says one line, then the next only when somebody asked for /slowly/on."""

    go_on = asyncio.Event()

    async def get(self, on: str) -> None:
        if on:
            self.go_on.set()
            return
        self.set_header("Content-Type", "text/event-stream")
        self.write("data: one\n\n")
        await self.flush()
        await self.go_on.wait()
        self.write("data: two\n\n")


class Sets(RequestHandler):
    def get(self) -> None:
        self.add_header("Set-Cookie", "tool=1; Path=/; Domain=example.org; HttpOnly")
        self.add_header("Set-Cookie", "deep=1; Path=/deep")
        self.add_header("Set-Cookie", "jupyterhub-session-id=evil; Path=/")
        self.add_header("Set-Cookie", "__Host-jupyterhub-user-ada=evil; Path=/; Secure")
        self.set_header("Location", "/elsewhere?x=1")
        self.set_status(302)


class Sockets(WebSocketHandler):
    opened = 0

    def check_origin(self, origin: str) -> bool:
        return True

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return "second" if "second" in subprotocols else None

    def open(self) -> None:
        Sockets.opened += 1

    async def on_message(self, message: str | bytes) -> None:
        await self.write_message(message, binary=isinstance(message, bytes))


class Opened(RequestHandler):
    def get(self) -> None:
        self.write({"opened": Sockets.opened})


class Refusing(RequestHandler):
    def get(self) -> None:
        self.set_status(403)
        self.write("not this one")


async def main() -> None:
    port = int(sys.argv[1])
    address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    app = Application(
        [
            ("/upload", Upload),
            ("/big", Big),
            ("/slowly(/on)?", Slowly),
            ("/sets", Sets),
            ("/socket", Sockets),
            ("/opened", Opened),
            ("/refusing", Refusing),
            (".*", Echo),
        ]
    )
    HTTPServer(app, max_body_size=1 << 40).listen(port, address)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
