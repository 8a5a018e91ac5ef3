"""Whose start comes next: a fair line, so that many starts at once leave hub and machine usable.

A start holds its turn while it needs the processors: until it is ready, but never for long, so
that one that hangs does not keep the others.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

LONGEST_WAIT = 3600.0  # seconds after which a start that waits for its turn has failed
_LONGEST_TURN = 30.0  # seconds; what takes longer waits for something else than a processor
_TELL_EVERY = 1.0  # seconds between two tellings: with hundreds in line each turn moves all


@dataclass(frozen=True, kw_only=True)
class Waiter:
    """A start that waits: of which workspace, whose, since when.

    `active` says how many workspaces of its owner run, start or wait now, this one among them.
    """

    workspace: str
    owner: str
    since: datetime
    active: Callable[[], int]


def in_order(waiting: Collection[Waiter]) -> list[Waiter]:
    """The waiting starts as their turns come.

    Whoever has fewer workspaces goes first, then whoever asked first: nobody's second workspace
    goes before anybody's first.
    """
    in_line = Counter(waiter.owner for waiter in waiting)
    before = {each.owner: each.active() - in_line[each.owner] for each in waiting}
    ranked = []
    for each in sorted(waiting, key=lambda waiter: (waiter.since, waiter.workspace)):
        ranked.append((before[each.owner], each.since, each.workspace, each))
        before[each.owner] += 1
    return [waiter for *_, waiter in sorted(ranked, key=lambda row: row[:3])]


@dataclass
class _Place:
    waiter: Waiter
    tell: Callable[[int, int], None]
    come: "asyncio.Future[None]"
    told: tuple[int, int] = (0, 0)


@dataclass
class _Turn:
    over: Callable[[], None]
    held: bool = True

    def end(self) -> None:
        if self.held:
            self.held = False
            self.over()


@dataclass
class Turns:
    """The line of one hub process; `at_once` starts may have their turn at the same time."""

    at_once: int = 1
    _places: dict[str, _Place] = field(default_factory=dict)
    _held: int = 0  # turns
    _teller: "asyncio.Task[None] | None" = None

    def room(self) -> bool:
        """Whether a start that comes now has its turn at once."""
        return not self._places and self._held < self.at_once

    @asynccontextmanager
    async def turn(self, waiter: Waiter, tell: Callable[[int, int], None]) -> AsyncIterator[None]:
        """Wait for the turn, then hold it for the block.

        `tell` is called with the place in line and the length of the line whenever they change.
        """
        loop = asyncio.get_running_loop()
        place = _Place(waiter, tell, loop.create_future())
        self._places[waiter.workspace] = place
        try:
            self._call()
            if not place.come.done():
                self._tell([place])
                self._keep_telling()
                await place.come
        except BaseException:
            if self._places.get(waiter.workspace) is place:
                del self._places[waiter.workspace]
            if place.come.done() and not place.come.cancelled():
                self._over()  # it came in the moment in which we left
            raise
        turn = _Turn(self._over)
        timer = loop.call_later(_LONGEST_TURN, turn.end)
        try:
            yield
        finally:
            timer.cancel()
            turn.end()

    def _over(self) -> None:
        self._held -= 1
        self._call()

    def _call(self) -> None:
        """Give their turn to those for whom there is room."""
        while self._places and self._held < self.at_once:
            place = self._places.pop(self._line()[0].workspace)
            if not place.come.done():  # else it has just left
                self._held += 1
                place.come.set_result(None)

    def _line(self) -> list[Waiter]:
        return in_order([each.waiter for each in self._places.values()])

    def _tell(self, places: Collection[_Place]) -> None:
        line = self._line()
        order = {waiter.workspace: number for number, waiter in enumerate(line, 1)}
        for place in places:
            now = (order[place.waiter.workspace], len(line))
            if now != place.told:
                place.told = now
                place.tell(*now)

    def _keep_telling(self) -> None:
        if self._teller is None or self._teller.done():
            self._teller = asyncio.create_task(self._tell_until_empty())

    async def _tell_until_empty(self) -> None:
        while self._places:
            await asyncio.sleep(_TELL_EVERY)
            self._tell(list(self._places.values()))


def usual_room() -> int:
    """How many starts this machine bears at the same time."""
    return max(2, os.cpu_count() or 2)


@lru_cache(maxsize=1)
def shared_turns() -> Turns:
    """The one line of this hub process."""
    return Turns()
