"""Asks an X server which windows its window manager shows; enough of X11 for that, and no more.

It is how a tile knows that a program's window is on the screen: X has no other sign of readiness.
"""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

from petrihub_extensions.desktop.authority import AUTHORITY_NAME, read_cookie

_INTERN_ATOM, _GET_PROPERTY = 16, 20
_WINDOW_TYPE = 33
_SECONDS = 5.0


async def shown_windows(display: str, authority: Path) -> frozenset[int]:
    """The windows that the window manager lists; OSError when the display does not answer."""
    path = f"/tmp/.X11-unix/X{display.lstrip(':')}"  # noqa: S108 - where X servers listen
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return await _client_list(reader, writer, read_cookie(authority))
            finally:
                writer.close()
    except (TimeoutError, asyncio.IncompleteReadError, struct.error) as exc:
        raise OSError(f"the display {display} does not answer") from exc


async def _client_list(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cookie: bytes
) -> frozenset[int]:
    head = struct.pack("<BxHHHHxx", ord("l"), 11, 0, len(AUTHORITY_NAME), len(cookie))
    writer.write(head + _padded(AUTHORITY_NAME) + _padded(cookie))
    status, _, _, _, words = struct.unpack("<BBHHH", await reader.readexactly(8))
    answer = await reader.readexactly(words * 4)
    if status != 1:
        raise OSError("the display refused the cookie")
    root = _root_window(answer)
    name = b"_NET_CLIENT_LIST"
    body = struct.pack("<HHxx", len(name), 0)[:4] + _padded(name)
    writer.write(struct.pack("<BBH", _INTERN_ATOM, 1, 1 + len(body) // 4) + body)
    (atom,) = struct.unpack_from("<I", await _reply(reader), 8)
    if atom == 0:  # no window manager has said anything yet
        return frozenset()
    writer.write(struct.pack("<BBHIIIII", _GET_PROPERTY, 0, 6, root, atom, _WINDOW_TYPE, 0, 4096))
    reply = await _reply(reader)
    (count,) = struct.unpack_from("<I", reply, 16)
    return frozenset(struct.unpack_from(f"<{count}I", reply, 32))


def _root_window(setup: bytes) -> int:
    """The root of the first screen, out of the server's answer to the connection."""
    vendor, formats = struct.unpack_from("<H", setup, 16)[0], setup[21]
    offset = 32 + vendor + (-vendor % 4) + 8 * formats
    return int(struct.unpack_from("<I", setup, offset)[0])


async def _reply(reader: asyncio.StreamReader) -> bytes:
    """The next reply; events are skipped, an error is an OSError."""
    while True:
        head = await reader.readexactly(32)
        if head[0] == 0:
            raise OSError(f"the display answered with error {head[1]}")
        if head[0] == 1:
            (words,) = struct.unpack_from("<I", head, 4)
            return head + await reader.readexactly(words * 4)


def _padded(value: bytes) -> bytes:
    return value + b"\0" * (-len(value) % 4)
