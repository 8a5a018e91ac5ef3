"""A door through which other parts may look at the Docker engine, and change nothing.

Who can talk to an engine's socket owns the machine. Where the parts run apart only the hub's
container has that socket. The portal wants to show the engine's version, its images and its disk:
it asks at a socket of ours, which passes on three questions and refuses everything else.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from petrihub_core.deployment import Deployment
from petrihub_core.logs import get_logger

log = get_logger(__name__)

_ENGINE = "/run/docker.sock"  # where compose mounts it
_QUESTIONS = re.compile(
    rb"GET ((?:/v[0-9]{1,2}\.[0-9]{1,3})?/(?:version|system/df|images/json)(?:\?[\w=&%.-]*)?) "
    rb"HTTP/1\.1\r\n"
)
_HEAD_BYTES = 16 * 1024
_ANSWER_SECONDS = 30.0
_REFUSAL = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    b'{"message": "Only the hub may ask the engine for this."}'
)


@asynccontextmanager
async def looks_at_engine(deployment: Deployment, engine: str = _ENGINE) -> AsyncIterator[None]:
    """While the block runs, answer at `run/engine/look.sock`, where the parts run apart."""
    if deployment.parts != "apart" or deployment.backend != "docker":
        yield
        return
    place = deployment.state / "run" / "engine" / "look.sock"
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.unlink(missing_ok=True)  # of a hub before this one

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(
            OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(_ANSWER_SECONDS):
                await _answer(engine, reader, writer)
        writer.close()

    server = await asyncio.start_unix_server(answer, place, limit=_HEAD_BYTES)
    async with server:
        yield


async def _answer(engine: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    asked = _QUESTIONS.match(await reader.readuntil(b"\r\n\r\n"))
    if asked is None:
        writer.write(_REFUSAL)
        await writer.drain()
        return
    # written anew: nothing that was sent here, beyond the path, reaches the engine
    engine_reader, engine_writer = await asyncio.open_unix_connection(engine)
    try:
        head = b"GET " + asked[1] + b" HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n"
        engine_writer.write(head)
        while part := await engine_reader.read(64 * 1024):
            writer.write(part)
            await writer.drain()
    finally:
        engine_writer.close()
