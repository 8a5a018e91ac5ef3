"""A real registry for the checkpointer's tests, a proxy that cuts, and a stand-in that refuses."""

import hashlib
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from petrihub_core.ports import free_port
from petrihub_sidecars.checkpointer.registry import OCI_MANIFEST, Blob, Repository

from tests.conftest import skip

CONFIG = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "{host}:{port}"}}
"""
IMPATIENT = (0.01, 0.01, 0.01, 0.01)


@contextmanager
def registry(folder: Path, host: str = "127.0.0.1") -> Iterator[str]:
    """Debian's docker-registry, without a token service before it; its address."""
    program = shutil.which("docker-registry")
    if program is None:
        skip("the registry is not installed (apt-get install docker-registry)")
    folder.mkdir(exist_ok=True)
    port = free_port()
    config = folder / "config.yml"
    config.write_text(CONFIG.format(folder=folder, host=host, port=port))
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([str(program), "serve", config], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, process, folder / "log")
        yield url
    finally:
        process.kill()
        process.wait()


@contextmanager
def fronted(url: str, folder: Path) -> Iterator[str]:
    """Caddy before the registry, which passes a chunk on when it is whole, as in production."""
    program = shutil.which("caddy")
    if program is None:
        skip("Caddy is not installed (apt-get install caddy)")
    port = free_port()
    handler = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": url.removeprefix("http://")}],
        "buffer_requests": True,
        "max_buffer_size": 20 * 2**20,
    }
    server = {"listen": [f"127.0.0.1:{port}"], "routes": [{"handle": [handler]}]}
    config = folder / "caddy.json"
    config.write_text(
        json.dumps({"admin": {"disabled": True}, "apps": {"http": {"servers": {"a": server}}}})
    )
    with (folder / "caddy.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "run", "--config", config], stdout=log, stderr=log, env={"HOME": str(folder)}
        )
    try:
        wait_for(f"http://127.0.0.1:{port}", process, folder / "caddy.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return when somebody answers there."""
    for _ in range(400):
        with suppress(httpx.TransportError):
            httpx.get(f"{url}/v2/", trust_env=False)
            return
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)


def repository(url: str, name: str = "checkpoints/p/w") -> Repository:
    return Repository(url, name, lambda: "a-token")


def blob_of(content: bytes) -> Blob:
    return Blob(content, "sha256:" + hashlib.sha256(content).hexdigest(), len(content))


def push_base(url: str, name: str) -> tuple[dict, dict]:
    """An image without layers in the repository; its manifest and config."""
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    blob = blob_of(json.dumps(config).encode())
    repository(url, name).push(blob)
    return {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}, config


@dataclass
class Cutter:
    """A TCP proxy: connection number n passes `budgets[n]` bytes upstream, then both ends go.

    What is not in the list passes whole. `downstream` counts the other direction instead. Of the
    first connection, a bit of byte number `flip` changes on its way upstream.
    """

    target: int
    budgets: list[int] = field(default_factory=list)
    downstream: bool = False
    flip: int = -1
    connections: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                budget = self.budgets[self.connections :][:1] or [1 << 62]
                self.connections += 1
                server = socket.create_connection(("127.0.0.1", self.target))
                ways = [(client, server, not self.downstream), (server, client, self.downstream)]
                for source, sink, counted in ways:
                    limit = budget[0] if counted else 1 << 62
                    flip = self.flip if source is client and self.connections == 1 else -1
                    parts = (source, sink, limit, flip)
                    threading.Thread(target=_pass, args=parts, daemon=True).start()


def _pass(source: socket.socket, sink: socket.socket, budget: int, flip: int) -> None:
    with suppress(OSError):
        while budget > 0 and (data := bytearray(source.recv(min(65536, budget)))):
            if 0 <= flip < len(data):
                data[flip] ^= 1
            flip -= len(data)
            sink.sendall(data)
            budget -= len(data)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@contextmanager
def refusing(status: int, body: bytes = b"", *, times: int = 1 << 30, before: str) -> Iterator[str]:
    """A proxy of nothing: answers `status` so many times, then passes on to the registry."""

    class Door(BaseHTTPRequestHandler):
        left = times

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(length)
            # a HEAD has no words, and is what every push begins with
            if Door.left > 0 and self.command != "HEAD":
                Door.left -= 1
                self._reply(status, body, {})
                return
            headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            kept = httpx.request(
                self.command, before + self.path, content=sent, headers=headers, trust_env=False
            )
            self._reply(kept.status_code, kept.content, dict(kept.headers))

        def _reply(self, code: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(code)
            for name, value in headers.items():
                if name.lower() in ("location", "range", "content-type"):
                    self.send_header(name, value)
            length = headers.get("content-length", len(content))
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = answer  # noqa: N815

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
