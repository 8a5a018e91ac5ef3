"""Hands a file to a running IGV over its batch port, so that it opens beside what is there."""

from __future__ import annotations

import asyncio
from pathlib import Path

from petrihub_extensions.errors import AppBusy

IGV = "igv"
PORT = 60151


async def load(file: Path, port: int) -> None:
    """Has IGV come before other windows and load the file, however long that takes.

    AppBusy with its own words if it will not.
    """
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f'tofront\nload "{file}"\n'.encode())
            await writer.drain()
            await reader.readline()
            answer = (await reader.readline()).decode("utf-8", "replace").strip()
        finally:
            writer.close()
    except OSError as exc:
        raise AppBusy(
            "IGV is open, but does not take files from outside.",
            hint="Use File, Load from File in IGV, or close IGV and open the file again.",
        ) from exc
    if answer != "OK":
        raise AppBusy(
            f"IGV could not load {file.name}: {answer or 'it ended'}", hint="Look at it in IGV."
        )
