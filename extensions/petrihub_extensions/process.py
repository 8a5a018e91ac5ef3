"""One running program under its leash: start, output into a log, exit, end."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path

from petrihub_extensions.leash import GRACE_SECONDS
from petrihub_extensions.log import LogRing

# what belongs to the Jupyter server and is of no use to an app
WITHHELD = frozenset({"JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "JUPYTER_TOKEN", "PETRIHUB_APPS"})


class AppProcess:
    """A program with all its descendants; ends when asked, and when the Jupyter server is gone."""

    def __init__(self, leash: asyncio.subprocess.Process, log: LogRing) -> None:
        self._leash = leash
        self._output = asyncio.create_task(self._read(log))

    @classmethod
    async def start(
        cls, argv: Sequence[str], *, environment: Mapping[str, str], cwd: Path, log: LogRing
    ) -> AppProcess:
        """Starts the program; OSError when not even the leash can be started."""
        kept = {name: value for name, value in environment.items() if name not in WITHHELD}
        with as_file(files("petrihub_extensions").joinpath("leash.py")) as leash:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(leash), *argv),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=kept,
                cwd=cwd,
            )
        return cls(process, log)

    async def exited(self) -> int:
        """The exit code, 128 + signal for a killed program; the log is complete by then."""
        code = await self._leash.wait()
        # a descendant may still hold the pipe for a moment
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._output), 1.0)
        self._output.cancel()
        return code if code >= 0 else 128 - code

    async def end(self) -> None:
        """Asks the program to end, kills it after the grace; returns when all of it is gone."""
        if self._leash.returncode is None and self._leash.stdin is not None:
            self._leash.stdin.close()
        try:
            await asyncio.wait_for(self._leash.wait(), 3 * GRACE_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._leash.kill()
            await self._leash.wait()

    async def _read(self, log: LogRing) -> None:
        if self._leash.stdout is None:
            return
        while chunk := await self._leash.stdout.read(16_384):
            log.write(chunk)
