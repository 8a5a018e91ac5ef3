"""Keeps one mount: makes it, looks whether it answers, makes it again, and says how it is."""

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from petrihub_sidecars.mounts import carriers
from petrihub_sidecars.mounts.kernel import detach
from petrihub_sidecars.mounts.orders import Order

MOUNTED, LOST, REFUSED = "mounted", "lost", "refused"
_ANSWER_WITHIN = 4.0
_UNANSWERED = 2  # questions to an object store, after which its mount is given up and made again
_AGAIN = 1.0  # seconds until the next try to get in

log = logging.getLogger("mounts")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass
class State:
    """How a mount is: mounted, lost or refused, why in words, and since when."""

    state: str = LOST
    reason: str = "It was not mounted yet."
    since: str = ""


class Look:
    """One question to the mounted file system, in a thread: it may never be answered."""

    def __init__(self, place: Path) -> None:
        self.error: OSError | None = None
        self.answered = asyncio.Event()
        self._place = place
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._ask, daemon=True).start()

    def _ask(self) -> None:
        try:
            os.statvfs(self._place)
        except OSError as exc:
            self.error = exc
        self._loop.call_soon_threadsafe(self.answered.set)

    async def within(self, seconds: float) -> bool:
        """Whether it was answered by then."""
        try:
            await asyncio.wait_for(self.answered.wait(), seconds)
        except TimeoutError:
            return False
        return True


class Keeper:
    """One for each mount; `changed` is called whenever its state is another."""

    def __init__(self, order: Order, changed: Callable[[], None]) -> None:
        self.order = order
        self.state = State(since=_now())
        self.stood = asyncio.Event()
        self._changed = changed
        self._look: Look | None = None
        self._unanswered = 0

    async def run(self) -> None:
        """Keep it until cancelled."""
        while True:
            await self._until_let_in()
            process = await asyncio.to_thread(carriers.start, self.order)
            self._unanswered = 0
            try:
                ended = asyncio.create_task(asyncio.to_thread(process.wait))
                while not ended.done():
                    await self._watch()
                    if self._unanswered == _UNANSWERED:
                        process.kill()  # whoever waits has an error, and nobody waits after that
                    pause = carriers.look_every(self.order)
                    if self.state.state != MOUNTED:
                        pause = _AGAIN if self.stood.is_set() else 0.1
                    await asyncio.wait([ended], timeout=pause)
                log.warning("%s: its program ended (%s)", self.order.path, ended.result())
            finally:
                process.kill()
                self._look = None
            self._say(LOST, "The connection ended; it is being made again.")
            if not self.stood.is_set():
                detach(self.order.place)  # nobody has it in view yet
            await asyncio.sleep(_AGAIN)

    async def _until_let_in(self) -> None:
        while True:
            carriers.forget(self.order)
            try:
                await carriers.check(self.order)
            except carriers.Refused as exc:
                self._say(REFUSED, str(exc))
            except carriers.Silent as exc:
                self._say(LOST, str(exc))
            else:
                return
            await asyncio.sleep(_AGAIN)

    async def _watch(self) -> None:
        look = self._look = self._look or Look(self.order.place)
        if await look.within(_ANSWER_WITHIN):
            self._look = None
            if look.error is None:
                await self._ask_server(carriers.look)
                return
        if not await carriers.greets(self.order):
            carriers.remember_away(self.order)
            self._say(LOST, carriers.away(self.order))
            return
        carriers.forget(self.order)
        if self._look is not None:
            return  # the server is there, and the answer may still come
        await self._ask_server(carriers.check, mounted=False)

    async def _ask_server(
        self, ask: Callable[[Order], Awaitable[None]], *, mounted: bool = True
    ) -> None:
        try:
            await ask(self.order)
        except carriers.Refused as exc:
            self._say(REFUSED, str(exc))
        except carriers.Silent as exc:
            self._unanswered += mounted
            self._say(LOST, str(exc))
        else:
            if mounted:
                self._unanswered = 0
                carriers.forget(self.order)
                self._say(MOUNTED, "")
                self.stood.set()

    def _say(self, state: str, reason: str) -> None:
        if (state, reason) == (self.state.state, self.state.reason):
            return
        self.state = State(state, reason, _now())
        log.info("%s: %s%s", self.order.path, state, f". {reason}" if reason else "")
        self._changed()
