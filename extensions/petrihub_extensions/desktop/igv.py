"""Hands a file to a running IGV over its batch port, so that it opens beside what is there."""

from __future__ import annotations

import asyncio
from pathlib import Path

from petrihub_extensions.errors import AppBusy

IGV = "igv"
PORT = 60151
_SECONDS = 20.0


async def load(file: Path, port: int) -> None:
    """Asks IGV to load the file; AppBusy with IGV's own words when it will not."""
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f'load "{file}"\n'.encode())
                await writer.drain()
                answer = (await reader.readline()).decode("utf-8", "replace").strip()
            finally:
                writer.close()
    except TimeoutError:
        return  # a big file takes its time; IGV shows its own progress
    except OSError as exc:
        raise AppBusy(
            "IGV is open, but does not take files from outside.",
            hint="Use File, Load from File in IGV, or close IGV and open the file again.",
        ) from exc
    if answer.upper().startswith("ERROR"):
        raise AppBusy(f"IGV could not load {file.name}: {answer}", hint="Look at it in IGV.")
