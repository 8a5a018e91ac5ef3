"""The front's configuration in a real Caddy: who gets which request, with replicas that die."""

import asyncio
import json
import shutil
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from tornado.httpclient import HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler, stream_request_body
from tornado.websocket import WebSocketHandler, websocket_connect

from petrihub_cli.front import Front, caddy_config
from petrihub_core.ports import free_port
from petrihub_core.records import now
from petrihub_portal.certificates import self_signed

from tests.conftest import skip
from tests.portal.guests import API, PORTAL


class Says(RequestHandler):
    """Says who it is, and how the request came."""

    def get(self, _path: str) -> None:
        told = {"who": self.settings["who"], "uri": self.request.uri}
        self.write({**told, **dict(self.request.headers.items())})


class Echo(WebSocketHandler):
    def check_origin(self, _origin: str) -> bool:
        return True

    async def on_message(self, message: str | bytes) -> None:
        await self.write_message(message)


@stream_request_body
class Upload(RequestHandler):
    """Counts what has arrived so far."""

    def prepare(self) -> None:
        self.request.connection.set_max_body_size(2**40)  # type: ignore[union-attr]

    def data_received(self, chunk: bytes) -> None:
        self.settings["arrived"]["bytes"] += len(chunk)

    def put(self) -> None:
        self.write("all of it")


class Stand:
    """A front with a hub and two portals behind it."""

    def __init__(self, folder: Path) -> None:
        self.arrived = Counter[str]()
        self.ports = [free_port() for _ in range(3)]
        self.servers = [
            self._serve(who, port)
            for who, port in zip(("hub", "one", "two"), self.ports, strict=True)
        ]
        hub, *portals = (f"127.0.0.1:{port}" for port in self.ports)
        pair = self_signed("localhost", now())
        (folder / "certificate.pem").write_text(pair.key + pair.chain)
        self.front = Front(
            domain="localhost",
            hub=hub,
            portals=tuple(portals),
            https_port=free_port(),
            http_port=free_port(),
            listen="127.0.0.1",
            origins=True,
            certificate=folder / "certificate.pem",
            certificate_port=free_port(),
            certificate_word="word",
            storage=folder / "caddy",
        )
        self.url = f"https://localhost:{self.front.https_port}"

    def _serve(self, who: str, port: int) -> HTTPServer:
        handlers = [(r"/socket", Echo), (r"/upload", Upload), (r"/(.*)", Says)]
        server = HTTPServer(Application(handlers, who=who, arrived=self.arrived))
        server.listen(port, "127.0.0.1")
        return server

    async def kill(self, number: int) -> None:
        self.servers[number].stop()
        await self.servers[number].close_all_connections()


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    if shutil.which("caddy") is None:
        skip("Caddy is not installed (apt-get install caddy)")
    made = Stand(tmp_path)
    (tmp_path / "caddy.json").write_text(json.dumps(caddy_config(made.front)))
    process = await asyncio.create_subprocess_exec(
        *("caddy", "run", "--config", str(tmp_path / "caddy.json")),
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        stderr=asyncio.subprocess.DEVNULL,
    )
    for _ in range(200):
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", made.front.https_port)
            writer.close()
            break
        await asyncio.sleep(0.05)
    yield made
    process.kill()
    await process.wait()
    for server in made.servers:
        server.stop()


async def test_each_request_goes_where_it_belongs(stand: Stand) -> None:
    async with httpx.AsyncClient(verify=False) as client:
        hub = (await client.get(f"{stand.url}/user/ada/lab")).json()
        assert (hub["who"], hub["X-Forwarded-Proto"]) == ("hub", "https")
        assert hub["X-Forwarded-For"] == "127.0.0.1"
        forged = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "gopher"}
        again = (await client.get(f"{stand.url}/hub/home", headers=forged)).json()
        assert (again["X-Forwarded-For"], again["X-Forwarded-Proto"]) == ("127.0.0.1", "https")
        below = {"Host": f"ada.localhost:{stand.front.https_port}"}
        for path in ("/", f"{PORTAL}api/v1/me", "/.well-known/acme-challenge/x"):
            # at people's own origins the routing proxy decides, and it leads nowhere else
            assert (await client.get(f"{stand.url}{path}", headers=below)).json()["who"] == "hub"
        for host in ("a.b.localhost", "evil.example", "127.0.0.1"):
            answer = await client.get(stand.url, headers={"Host": host})
            assert (answer.status_code, "one of this PetriHub" in answer.text) == (400, True)
        plain = f"http://localhost:{stand.front.http_port}"
        challenge = (await client.get(f"{plain}/.well-known/acme-challenge/a-b")).json()
        assert challenge["who"] in ("one", "two")
        assert challenge["uri"] == f"{PORTAL}.well-known/acme-challenge/a-b"
        assert (await client.get(f"{plain}/x")).status_code == 308
        hers = await client.get(f"{plain}/x", headers={"Host": "ada.localhost"})
        assert hers.headers["location"] == f"https://ada.localhost:{stand.front.https_port}/x"


async def test_two_portals_share_the_work_and_one_may_die(stand: Stand) -> None:
    async with httpx.AsyncClient(verify=False) as client:

        async def ask() -> str:
            answer = await client.get(f"{stand.url}{API}/me")
            assert answer.status_code == 200
            return str(answer.json()["who"])

        both = Counter([await ask() for _ in range(20)])
        assert set(both) == {"one", "two"}
        await stand.kill(1)
        assert Counter([await ask() for _ in range(20)]) == {"two": 20}


async def test_browsers_get_http_2_and_websockets(stand: Stand) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection(
        "127.0.0.1", stand.front.https_port, ssl=context, server_hostname="localhost"
    )
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    writer.close()
    url = f"{stand.url.replace('https', 'wss')}/socket"
    socket = await websocket_connect(HTTPRequest(url, validate_cert=False))
    await socket.write_message("hello")
    assert await socket.read_message() == "hello"
    socket.close()


async def test_an_upload_passes_through_while_it_is_sent(stand: Stand) -> None:
    began, size = asyncio.Event(), 64 * 1024

    async def body() -> AsyncIterator[bytes]:
        for _ in range(400):
            yield b"x" * size
        async with asyncio.timeout(60):
            # the front keeps nothing back: most of it is there before the end was sent
            while stand.arrived["bytes"] < 300 * size:  # noqa: ASYNC110 - nothing tells us
                await asyncio.sleep(0.01)
        began.set()
        yield b"end"

    async with httpx.AsyncClient(verify=False, timeout=30) as client:
        answer = await client.put(f"{stand.url}/upload", content=body())
    assert (answer.text, began.is_set()) == ("all of it", True)
    assert stand.arrived["bytes"] == 400 * size + 3


async def test_nobody_reaches_caddys_own_commands(stand: Stand) -> None:
    with pytest.raises(OSError, match=r"[Cc]onnect"):
        await asyncio.open_connection("127.0.0.1", 2019)
