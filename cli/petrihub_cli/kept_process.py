"""A program of somebody else's as a child process: started, kept running, stopped."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from petrihub_cli.prepare import Say
from petrihub_core.errors import Conflict, Unavailable
from petrihub_core.logs import get_logger

log = get_logger(__name__)

_APT = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
_ANSWER_SECONDS = 15.0
_STOP_SECONDS = 10.0
_PAUSE_SECONDS = 1.0  # before it is started again


def install_program(package: str, title: str, why: str, say: Say) -> Path:
    """The program of a Debian package; installs it if we may.

    Raises `Unavailable` with `why` it is needed and the command to run.
    """
    found = shutil.which(package)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"Installing {title}")
        subprocess.run(
            [*_APT, package],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        found = shutil.which(package)
    if found is None:
        raise Unavailable(why, hint=f"Install it with: sudo {' '.join([*_APT, package])}")
    return Path(found)


@dataclass
class KeptProcess:
    """One program, with its files in `folder`; `answers_at` are host and port that it opens."""

    title: str
    command: Sequence[str | Path]
    folder: Path
    log: Path
    answers_at: tuple[str, int]
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _keeper: "asyncio.Task[None] | None" = field(default=None, init=False)

    @property
    def _record(self) -> Path:
        return self.folder / "process.json"

    def end_abandoned(self) -> None:
        """Kill the one that an earlier run left behind."""
        with suppress(OSError, ValueError, KeyError, psutil.Error):
            known = json.loads(self._record.read_text())
            process = psutil.Process(known["pid"])
            if abs(process.create_time() - known["began"]) < 1:
                process.kill()
                process.wait(10)

    async def start(self) -> None:
        """Start it and wait until it answers; it is started again whenever it ends."""
        await self._launch()
        self._keeper = asyncio.create_task(self._keep())

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as out:
            process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={"HOME": str(self.folder), "PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C goes to us, and we stop it last
            )
        began = psutil.Process(process.pid).create_time()
        self._record.write_text(json.dumps({"pid": process.pid, "began": began}))
        return process

    async def _launch(self) -> None:
        self._process = self._spawn()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                while not await self._answers():  # noqa: ASYNC110 - a program has no event to await
                    await asyncio.sleep(0.05)
        except TimeoutError as exc:
            raise self._does_not_start(f"{self.title} does not answer") from exc

    async def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise self._does_not_start(f"{self.title} ended before it answered")
        try:
            _, writer = await asyncio.open_connection(*self.answers_at)
        except OSError:
            return False
        writer.close()
        return True

    def _does_not_start(self, what: str) -> Unavailable:
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])
        return Unavailable(f"{what}:\n{tail}", hint=f"The whole log: {self.log}")

    async def _keep(self) -> None:
        while self._process is not None:
            code = await asyncio.to_thread(self._process.wait)
            log.error("a program ended and is started again", program=self.title, code=code)
            await asyncio.sleep(_PAUSE_SECONDS)
            try:
                await self._launch()
            except Unavailable:
                log.exception("a program does not start", program=self.title)

    async def stop(self) -> None:
        """Ask it to end, then insist."""
        if self._keeper is not None:
            self._keeper.cancel()
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.to_thread(self._process.wait)
        except TimeoutError:
            self._process.kill()
        self._record.unlink(missing_ok=True)


def require_port(host: str, port: int, hint: str) -> None:
    """Raise `Conflict` if we cannot listen there; `hint` says what to do about a taken one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except PermissionError as exc:
        raise Conflict(
            f"This account may not listen on port {port}.",
            hint=(
                "Run as root, or choose ports above 1023 in [front] https_port and http_port "
                "and let your router lead 443 and 80 to them."
            ),
        ) from exc
    except OSError as exc:
        raise Conflict(f"Port {port} is taken by another program.", hint=hint) from exc
