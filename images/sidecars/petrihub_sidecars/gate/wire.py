"""Bytes between a browser and the tool. The kernel moves bodies (splice); none is kept here."""

import asyncio
import fcntl
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from tornado.httputil import HTTPHeaders, HTTPInputError, parse_response_start_line

_HEAD_LIMIT = 64 * 1024
# bytes moved at once, and the size of the pipe between the two sockets: with eight times as much
# it takes twice as long, since tool, gate and browser then work one after the other
_PIECE = 1 << 17
_TURNS = 64  # pieces after which others get a turn even if there is more to move
_MOST_DRAINED = 1 << 20
_CONNECT_SECONDS = 5.0
_AT_ONCE = struct.pack("ii", 1, 0)  # close without a goodbye

Moved = Callable[[bytes | int], None]


class ToolSilent(Exception):
    """The tool does not accept connections, or hung up before it answered."""


class ToolGarbled(Exception):
    """What the tool answered is not HTTP that can be passed on."""


@dataclass(frozen=True)
class Head:
    """The beginning of a response, and what of its body has come with it."""

    status: int
    reason: str
    headers: HTTPHeaders
    body: bytes

    def length(self, method: str) -> int | None:
        """Bytes of the body; None: until the tool hangs up. Raises `ToolGarbled`."""
        if method == "HEAD" or self.status in (204, 304):
            return 0
        codings = [each.strip().lower() for each in self.headers.get_list("Transfer-Encoding")]
        if codings:
            if codings != ["chunked"]:
                raise ToolGarbled("a transfer encoding that is not known")
            return None
        lengths = {each.strip() for each in self.headers.get_list("Content-Length")}
        if not lengths:
            return None
        if len(lengths) > 1 or not all(each.isdecimal() and each.isascii() for each in lengths):
            raise ToolGarbled("more than one length, or none that is a number")
        return int(lengths.pop())


@asynccontextmanager
async def tool_at(port: int) -> AsyncIterator[socket.socket]:
    """A connection to the tool on loopback; raises `ToolSilent`."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # else the kernel keeps the tool's port busy for a minute after each connection that the
        # tool closes, and many tools that are started again then refuse it
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        except (OSError, TimeoutError) as exc:
            raise ToolSilent from exc
        yield connection
    finally:
        connection.close()


async def send(connection: socket.socket, data: bytes) -> None:
    """All of `data`; raises `OSError` if the other side is gone."""
    await asyncio.get_running_loop().sock_sendall(connection, data)


async def drain(connection: socket.socket) -> None:
    """Read what is left of an answer that nobody needs: some tools take a cut amiss."""
    loop = asyncio.get_running_loop()
    read = 0
    while read < _MOST_DRAINED and (piece := await loop.sock_recv(connection, 65536)):
        read += len(piece)


def request_head(method: str, path: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The first lines of a request, as they go to the tool."""
    return _lines(f"{method} {path} HTTP/1.1", headers)


def response_head(head: Head, headers: Iterable[tuple[str, str]]) -> bytes:
    """The first lines of a response, as they go to the browser."""
    return _lines(f"HTTP/1.1 {head.status} {head.reason}".rstrip(), headers)


def _lines(first: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin1")


async def read_head(connection: socket.socket) -> Head:
    """The head of the tool's answer, after any interim ones; raises `ToolSilent`, `ToolGarbled`."""
    loop = asyncio.get_running_loop()
    kept = b""
    while True:
        head, end, rest = kept.partition(b"\r\n\r\n")
        if not end:
            if len(kept) > _HEAD_LIMIT:
                raise ToolGarbled("a head without an end")
            try:
                piece = await loop.sock_recv(connection, 65536)
            except OSError as exc:
                raise ToolSilent from exc
            if not piece:
                raise ToolSilent
            kept += piece
            continue
        found = _parsed(head, rest)
        if found.status >= 200 or found.status == 101:
            return found
        kept = rest  # 100 and 103 are between the tool and us


def _parsed(head: bytes, rest: bytes) -> Head:
    first, _, lines = head.decode("latin1").partition("\r\n")
    try:
        start = parse_response_start_line(first)
        return Head(start.code, start.reason, HTTPHeaders.parse(lines + "\r\n"), rest)
    except (HTTPInputError, ValueError) as exc:
        raise ToolGarbled("no HTTP") from exc


async def pass_on(
    tool: socket.socket, browser: socket.socket, length: int | None, moved: Moved
) -> None:
    """The rest of a body to the browser, until `length` bytes, the tool's end or the browser's."""
    moving = asyncio.ensure_future(_splice(tool, browser, length, moved))
    leaving = asyncio.ensure_future(_gone(browser))
    await _first_of(moving, leaving)


async def join(tool: socket.socket, browser: socket.socket, to_tool: Moved, to_us: Moved) -> None:
    """Both directions at once, until either side hangs up: a websocket."""
    there = asyncio.ensure_future(_copy(browser, tool, to_tool))
    back = asyncio.ensure_future(_copy(tool, browser, to_us))
    await _first_of(there, back)


async def _first_of(*tasks: asyncio.Future[None]) -> None:
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            # a side that hangs up is an end like any other
            if isinstance(result, Exception) and not isinstance(result, OSError):
                raise result


async def _copy(source: socket.socket, target: socket.socket, moved: Moved) -> None:
    loop = asyncio.get_running_loop()
    while piece := await loop.sock_recv(source, 65536):
        moved(piece)
        await loop.sock_sendall(target, piece)


async def _gone(browser: socket.socket) -> None:
    """Until the browser hangs up; what it still sends belongs to no request of ours."""
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        while await loop.sock_recv(browser, 4096):
            pass


async def _splice(
    source: socket.socket, target: socket.socket, length: int | None, moved: Moved
) -> None:
    inside, outside = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a smaller pipe is slower, not wrong
            fcntl.fcntl(outside, fcntl.F_SETPIPE_SZ, _PIECE)
        left, turns = length, 0
        while left is None or left > 0:
            wanted = _PIECE if left is None else min(_PIECE, left)
            got = await _moved(source.fileno(), outside, wanted, waits_for=source)
            if not got:
                return
            moved(got)
            left = None if left is None else left - got
            while got:
                got -= await _moved(inside, target.fileno(), got, waits_for=target, write=True)
            turns += 1
            if turns % _TURNS == 0:
                await asyncio.sleep(0)
    finally:
        os.close(inside)
        os.close(outside)


async def _moved(
    source: int, target: int, count: int, *, waits_for: socket.socket, write: bool = False
) -> int:
    while True:
        try:
            return os.splice(source, target, count, flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE)
        except BlockingIOError:
            await _able(waits_for, write=write)


def _set(able: asyncio.Future[None]) -> None:
    if not able.done():
        able.set_result(None)


async def _able(connection: socket.socket, *, write: bool) -> None:
    loop = asyncio.get_running_loop()
    able: asyncio.Future[None] = loop.create_future()
    number = connection.fileno()
    add, remove = (
        (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
    )
    add(number, _set, able)
    try:
        await able
    finally:
        remove(number)
