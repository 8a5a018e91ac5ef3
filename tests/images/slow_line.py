"""A slow line to the image server: a little of every answer passes, then what the test lets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_FREE = 64 * 2**10  # bytes of each connection: questions, refusals and manifests are not held up
_CHUNK = 16 * 2**10


class SlowLine:
    """Listens on `port` of this machine and leads to `target`; `let(n)` lets n bytes more pass."""

    port = 0

    def __init__(self, target: int) -> None:
        self._target = target
        self._left: float = 0
        self._more = asyncio.Condition()

    @property
    def stands(self) -> bool:
        """Whether all that was let has passed."""
        return self._left <= 0

    async def let(self, number: float) -> None:
        async with self._more:
            self._left += number
            self._more.notify_all()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._target)
        with suppress(OSError):
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, there[1], float("inf")))
                both.create_task(self._pass(there[0], writer, _FREE))

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, free: float
    ) -> None:
        try:
            while content := await source.read(_CHUNK):
                free -= len(content)
                if free < 0:
                    async with self._more:
                        await self._more.wait_for(lambda: self._left > 0)
                        self._left -= len(content)
                sink.write(content)
                await sink.drain()
        finally:
            sink.close()


@asynccontextmanager
async def slow_line(target: int) -> AsyncIterator[SlowLine]:
    """One for as long as the block lasts."""
    line = SlowLine(target)
    async with await asyncio.start_server(line.serve, "127.0.0.1", 0) as server:
        line.port = server.sockets[0].getsockname()[1]
        yield line
        await line.let(float("inf"))
