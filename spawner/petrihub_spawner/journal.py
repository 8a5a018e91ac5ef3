"""A runner's journal that writes each step into the intent before the step happens."""

import asyncio

from petrihub_core.intents import Intents
from petrihub_spawner.failpoints import fail_point
from petrihub_spawner.progress import Progress

_TELL_EVERY = 1.0  # seconds
_PROLONG_EVERY = 10.0  # seconds; each is a row that is written


class IntentJournal:
    """Steps of one start or stop, on record and in the progress that the person reads."""

    def __init__(
        self, intents: Intents, intent_id: str, kind: str, progress: Progress | None = None
    ) -> None:
        self._intents = intents
        self._id = intent_id
        self._kind = kind
        self._progress = progress
        self._clock: asyncio.Timeout | None = None
        self._within, self._margin = 0.0, 0.0
        self._told = self._prolonged = float("-inf")

    def limited(self, clock: asyncio.Timeout, within: float, margin: float) -> None:
        """What moves gets `within` seconds more on this clock, and `margin` above on record."""
        self._clock, self._within, self._margin = clock, within, margin

    async def step(self, name: str, **external: str | int) -> None:
        """The step called `name` comes next."""
        fail_point(f"{self._kind}.{name}.unrecorded")
        await self._intents.step(self._id, name, external=dict(external))
        if self._progress:
            self._progress.step(name)
        fail_point(f"{self._kind}.{name}")

    async def moved(self, words: str, done: int, total: int) -> None:
        """Tell the person how far it is, and give the start more time."""
        now = asyncio.get_running_loop().time()
        if self._progress and (now >= self._told + _TELL_EVERY or done == total):
            self._told = now
            self._progress.moved(words, done, total)
        if self._clock and now >= self._prolonged + _PROLONG_EVERY:
            self._prolonged = now
            self._clock.reschedule(now + self._within)
            await self._intents.prolong(self._id, self._within + self._margin)
