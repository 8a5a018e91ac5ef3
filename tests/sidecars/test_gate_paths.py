"""A2: the routing proxy and the gates read an address as the same workspace, however it is written.

Ten thousand addresses, made of the pieces that careless readers take for others, are sent as they
are through the real proxy to two real gates which both let the same person in. So all that keeps
one's requests from the other is how each of them reads the address.
"""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Callable

from tests.sidecars.conftest import Gated, Hub, host_of

COUNT = 10_000
AT_ONCE = 8
_SLASHES = ("/", "/", "/", "//", "%2f", "%2F", "\\", "%5c", "/./", "/;/", "%252f", "%c0%af", "／")
_UPS = (
    "..",
    "%2e%2e",
    ".%2e",
    "%252e%252e",
    "..;",
    "..;x=y",
    "..%00",
    "%c0%ae%c0%ae",
    "．．",
    "..%20",
)
_WORDS = ("user", "USER", "%75ser", "hub", "services", "api", "x", "a%00", "%", "%zz", "@", "*")
_NAMES = ("ada", "ada", "ADA", "%61da", "аda", "ada%00", "ada;x", "ada%20", "bob")
_ENDS = ("", "?next=/user/ada/two/", "#/user/ada/two/", "%3f", "%23/../two", ";/user/ada/two")


def written(seed: int) -> list[str]:
    """Addresses of all kinds; the same ones each time."""
    some = random.Random(seed)
    made = []
    while len(made) < COUNT:
        pick = some.choice
        start = pick(("", "", "", "", "http://127.0.0.1", "http://evil.test", "//evil.test"))
        plain = some.random() < 0.6
        words = ["user", "ada"] if plain else [pick(_WORDS), pick(_NAMES)]
        words.append(pick(("one", "two", "two", "ONE", "%6fne", "one%00", "t%77o")))
        for _ in range(some.randrange(5)):
            words.append(pick((*_UPS, *_UPS, *_WORDS, "one", "two", "ada", "user")))
        slashes = ["/", "/", "/"] if plain else [pick(_SLASHES) for _ in range(3)]
        text = "".join(
            f"{slash}{word}"
            for slash, word in zip(
                [*slashes, *(pick(_SLASHES) for _ in words[3:])], words, strict=True
            )
        )
        made.append(start + text + pick(_ENDS))
    return made


def path_of(address: str) -> str:
    """The path that a browser takes such an address for (WHATWG URL), nothing else decoded."""
    text = re.split("[?#]", address)[0].replace("\\", "/")
    path: list[str] = []
    for part in re.sub("^(?:http:)?//[^/]*", "", text).split("/")[1:]:
        match re.sub("%2e", ".", part, flags=re.IGNORECASE):
            case "..":
                path = path[:-1]
            case ".":
                pass
            case _:
                path.append(part)
    return "/" + "/".join(path)


class Line:
    """A connection to the proxy on which one address is asked for after the other."""

    def __init__(self, hub: Hub, token: str) -> None:
        self._port = hub.port
        self._head = f"HTTP/1.1\r\nHost: {host_of(hub.url)}\r\nAuthorization: token {token}\r\n\r\n"
        self._reader: asyncio.StreamReader | None = None

    async def ask(self, address: str) -> tuple[int, bytes]:
        """Status and body; 0 if the proxy hung up without a word."""
        if self._reader is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(f"GET {address} {self._head}".encode())
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin1").lower()
            body = await self._body(head)
        except (asyncio.IncompleteReadError, ConnectionError):
            self._end()
            return 0, b""
        if "connection: close" in head:
            self._end()
        return int(head.split(" ", 2)[1]), body

    async def _body(self, head: str) -> bytes:
        assert self._reader
        if "transfer-encoding: chunked" in head:
            return await self._reader.readuntil(b"0\r\n\r\n")
        _, named, after = head.partition("content-length: ")
        return await self._reader.readexactly(int(after.split("\r\n")[0])) if named else b""

    def _end(self) -> None:
        self._writer.close()
        self._reader = None


async def asked(hub: Hub, token: str, addresses: list[str]) -> list[tuple[str, int, bytes]]:
    async def some(part: list[str]) -> list[tuple[str, int, bytes]]:
        line = Line(hub, token)
        return [(address, *await line.ask(address)) for address in part]

    parts = [addresses[first::AT_ONCE] for first in range(AT_ONCE)]
    return [each for part in await asyncio.gather(*map(some, parts)) for each in part]


def test_a2_proxy_and_gates_read_ten_thousand_addresses_alike(
    hub: Hub, gated: Gated, new_gated: Callable[..., Gated]
) -> None:
    """A2: whoever answers is whom a browser takes the address for, and is asked by no other; all
    else ends in a refusal.
    """
    two = new_gated("two")
    two.start_tool()
    two.start_gate()
    token = hub.ask("POST", "users/ada/tokens").json()["token"]
    reached: Counter[str] = Counter()
    wrong = []
    for address, status, body in asyncio.run(asked(hub, token, written(2))):
        if b'"uri"' not in body:
            assert status != 200 or b"JupyterHub" in body or b"<html" in body, (address, body[:200])
            continue
        seen = json.loads(body)
        base = dict(seen["headers"])["X-Forwarded-Prefix"]
        reached[base] += 1
        got = base + seen["uri"].partition("?")[0]
        named, passed = (path_of(each).rstrip("/") for each in (address, got))
        if named.split("/")[:4] != base.split("/") or passed != got.rstrip("/"):
            wrong.append((address, base, seen["uri"]))
    assert wrong == []
    assert min(reached[one.path.rstrip("/")] for one in (gated, two)) > 100, reached
