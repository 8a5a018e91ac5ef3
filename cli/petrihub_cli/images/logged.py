"""Runs a program whose words go into a log, and reads the end of that log."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path


async def run_logged(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> int:
    """Run to the end with all output at the end of `log`; the exit code. Ends it if cancelled."""
    with log.open("ab") as said:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=said,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
        )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


def last_words(log: Path, lines: int = 8) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").strip().splitlines()[-lines:])
