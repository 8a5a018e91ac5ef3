"""One process of this machine at a time."""

import asyncio
import fcntl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def alone(file: Path, waits: Callable[[], object] = lambda: None) -> AsyncIterator[None]:
    """Wait until no other process holds this lock file, and hold it; `waits` is told of a wait.

    A process that ends, however that happens, holds it no more.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file.open("w") as handle:
        told = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    waits()
                told = True
                await asyncio.sleep(0.1)
        yield
