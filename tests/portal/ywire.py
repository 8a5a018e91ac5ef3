"""The collaboration protocol by hand: a client that sends what it likes."""

import asyncio
from typing import Any

from pycrdt import Doc, Text, create_update_message
from tornado.websocket import WebSocketClientConnection

ASK_FOR_STATE = b"\x00\x00\x01\x00"
SYNC, ANSWER, UPDATE, PRESENCE = 0, 1, 2, 1


def edit_of(state: bytes, words: str) -> bytes:
    """A message that writes `words` into the document of which `state` is an update."""
    doc: Doc[Any] = Doc()
    doc.apply_update(state)
    source = doc.get("source", type=Text)
    before = doc.get_state()
    source += words
    return create_update_message(doc.get_update(before))


def presence(client: int, state: str) -> bytes:
    """A message that says who one is, with an id that nobody else has."""
    said = state.encode()
    entry = b"\x01" + number(client) + b"\x01" + number(len(said)) + said
    return bytes([PRESENCE]) + number(len(entry)) + entry


def number(value: int) -> bytes:
    """As the protocol writes a number."""
    parts = []
    while value > 127:
        parts.append(128 | (127 & value))
        value >>= 7
    return bytes([*parts, value])


async def state_of(socket: WebSocketClientConnection) -> bytes:
    """Ask for the document's state; the update in the answer."""
    await socket.write_message(ASK_FOR_STATE, binary=True)
    found = await told(socket, lambda m: m[0] == SYNC and m[1] == ANSWER)
    at, length, shift = 2, 0, 0
    while True:
        length |= (found[at] & 127) << shift
        shift += 7
        at += 1
        if found[at - 1] < 128:
            return found[at : at + length]


async def told(socket: WebSocketClientConnection, wanted: Any, within: float = 10) -> bytes:
    """The first message that fits."""
    async with asyncio.timeout(within):
        while True:
            message = await socket.read_message()
            assert message is not None, "the other side closed"
            if isinstance(message, bytes) and wanted(message):
                return message
