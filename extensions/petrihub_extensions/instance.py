"""One instance of an app: stopped, starting, ready, or failed with a reason."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from petrihub_extensions.descriptors import AppDescriptor
from petrihub_extensions.errors import StartFailed
from petrihub_extensions.log import LogRing
from petrihub_extensions.process import AppProcess
from petrihub_extensions.readiness import Endpoint, out_of_memory_kills, words_for_exit

State = Literal["stopped", "starting", "ready", "failed"]
ASKED_TO_END = frozenset({128 + 1, 128 + 2, 128 + 15})
_log = logging.getLogger("petrihub.apps")


@dataclass(frozen=True)
class Launch:
    """What a start comes to: the program, its surroundings, and how one sees that it is ready."""

    argv: list[str]
    environment: Mapping[str, str]
    cwd: Path
    ready: Callable[[], Awaitable[bool]]
    endpoint: Endpoint | None = None
    host: Instance | None = None  # the desktop, for a program that lives in a window of it


Plan = Callable[["Instance"], Awaitable[Launch]]


class Instance:
    """Owns one program from start to end; all changes happen on the server's event loop."""

    def __init__(
        self, id_: str, app: AppDescriptor, *, path: str | None, url: str, plan: Plan
    ) -> None:
        self.id = id_
        self.app = app
        self.path = path
        self.url = url
        self.state: State = "stopped"
        self.reason = ""
        self.log = LogRing()
        self.endpoint: Endpoint | None = None
        self._plan = plan
        self._process: AppProcess | None = None
        self._life: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()

    @property
    def alive(self) -> bool:
        """Whether it is running or on its way there."""
        return self.state in ("starting", "ready")

    def start(self) -> None:
        """Starts it, unless it already runs: two people (or two tabs) who open it get the same."""
        if self.alive:
            return
        self.state, self.reason = "starting", ""
        self._settled = asyncio.Event()
        self._life = asyncio.create_task(self._live(), name=f"app {self.id}")

    async def settled(self) -> State:
        """Waits until the start has ended, one way or the other; the state it ended in."""
        if self.state == "starting":
            await self._settled.wait()
        return self.state

    async def stop(self) -> None:
        """Ends the program and everything it started; stopping twice is fine."""
        life, self._life = self._life, None
        if life is not None:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
        self._become("stopped")

    def as_json(self) -> dict[str, Any]:
        """The instance as the API tells it."""
        return {
            "instance": self.id,
            "path": self.path,
            "state": self.state,
            "reason": self.reason,
            "url": self.url if self.alive else None,
        }

    async def _live(self) -> None:
        try:
            launch = await self._plan(self)
            await self._run(launch)
        except StartFailed as exc:
            self._become("failed", str(exc))
        except OSError as exc:
            self._become("failed", f"{self.app.title} could not be started: {exc.strerror}.")
        except Exception:
            _log.exception("app %s", self.id)
            self._become("failed", f"{self.app.title} could not be started. See the server's log.")
        finally:
            process, self._process = self._process, None
            if process is not None:
                await process.end()
            self._settled.set()

    async def _run(self, launch: Launch) -> None:
        kills = await asyncio.to_thread(out_of_memory_kills)
        self.endpoint = launch.endpoint
        self.log.note(f"starting {self.app.title}")
        process = self._process = await AppProcess.start(
            launch.argv, environment=launch.environment, cwd=launch.cwd, log=self.log
        )
        exited = asyncio.ensure_future(process.exited())
        try:
            early = not await self._until_ready(launch, exited)
            if not early:
                self._become("ready")
            code = await exited
        finally:
            exited.cancel()
        self.log.note(f"ended with code {code}")
        if await self._meant_to(code, launch, early=early):
            self._become("stopped")
            return
        kills = await asyncio.to_thread(out_of_memory_kills) - kills
        raise StartFailed(
            words_for_exit(
                self.app.title, code, self.log.last_line(), memory_kills=kills, early=early
            )
        )

    async def _meant_to(self, code: int, launch: Launch, *, early: bool) -> bool:
        """Whether this end is no failure: a closed window, a closed desktop, a request to end."""
        if code == 0 and (launch.host is not None or not early):
            return True
        if not early and code in ASKED_TO_END:
            return True
        return launch.host is not None and await launch.host.ends_within(1.0)

    async def ends_within(self, seconds: float) -> bool:
        """Whether it has ended, or does so in this time."""
        if self.alive and self._life is not None:
            await asyncio.wait({self._life}, timeout=seconds)
        return not self.alive

    async def _until_ready(self, launch: Launch, exited: asyncio.Future[int]) -> bool:
        """True when ready, False when it ended before; StartFailed after the app's timeout."""
        probing = asyncio.create_task(_poll(launch.ready))
        try:
            waited: set[asyncio.Future[Any]] = {probing, exited}
            done, _ = await asyncio.wait(
                waited,
                timeout=self.app.timeout,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            probing.cancel()
        if exited in done:
            return False
        if probing in done:
            probing.result()
            return True
        if launch.host is not None:
            return True  # it runs, and a window is not owed: it may have joined an open one
        line = self.log.last_line()
        said = f" Its last line: {line}" if line else " It said nothing."
        raise StartFailed(f"{self.app.title} was not ready after {self.app.timeout:g} s.{said}")

    def _become(self, state: State, reason: str = "") -> None:
        self.state, self.reason = state, reason
        if not self.alive:
            self.endpoint = None
        if state != "starting":
            self._settled.set()
        _log.info("app %s is %s%s", self.id, state, f": {reason}" if reason else "")


async def _poll(ready: Callable[[], Awaitable[bool]]) -> None:
    pause = 0.05
    while not await ready():
        await asyncio.sleep(pause)
        pause = min(0.5, pause * 1.5)
