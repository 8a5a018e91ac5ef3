"""The words that a person reads while a workspace starts."""

import asyncio
import html
from collections.abc import AsyncIterator
from typing import Any

from petrihub_core.errors import PetriHubError
from petrihub_spawner.stages import Stage, StartFailed

Event = dict[str, Any]

_PERCENT = {Stage.QUEUED: 5, Stage.PREPARING: 15, Stage.STARTING: 40, Stage.READY: 95}
_FETCH_PERCENT = 20  # of a start's way, from its preparing on
_STAGE_WORDS = {
    Stage.QUEUED: "queueing",
    Stage.PREPARING: "preparing",
    Stage.STARTING: "starting",
    Stage.READY: "finishing",
}
# how far a runner's step brings us; steps that a person need not know are not here
_STEPS = {
    "plan": (Stage.PREPARING, "Preparing the workspace"),
    "process": (Stage.PREPARING, "Opening the home folder"),
    "pull": (Stage.PREPARING, "Fetching the checkpoint from the image server"),
    "objects": (Stage.PREPARING, "Making the workspace's network and container"),
    "launch": (Stage.STARTING, "Starting the container"),
    "ready": (Stage.STARTING, "Starting the tools"),
}


class Progress:
    """The events of one start; any number of readers, each sees all from the beginning."""

    def __init__(self) -> None:
        self._events: list[tuple[int, Event]] = []  # numbered: the last place in line replaces
        self._said = 0
        self.ended = False
        self._changed = asyncio.Event()
        self._estimate: float | None = None
        self._waited = 0.0
        self.stage = Stage.QUEUED

    def queued(self, estimate: float | None) -> None:
        """The start was asked for; it usually takes `estimate` seconds."""
        self._estimate = estimate
        self._say(Stage.QUEUED, f"Waiting for its turn{self._usually()}")

    def in_line(self, place: int, length: int) -> None:
        """Others come first: this is the place among all that wait."""
        words = f"Waiting for its turn: place {place} of {length}"
        event = {"progress": _PERCENT[Stage.QUEUED], "message": words, "stage": str(Stage.QUEUED)}
        if self._events and "place" in self._events[-1][1]:
            self._events.pop()
        self._add({**event, "place": place, "waiting": length})

    def called(self, estimate: float | None, waited: float) -> None:
        """Its turn came after `waited` seconds; from here it usually takes `estimate` seconds."""
        self._estimate, self._waited = estimate, waited

    def step(self, name: str) -> None:
        """The runner comes to this step."""
        if name in _STEPS:
            stage, words = _STEPS[name]
            self._say(stage, words + (self._usually() if name == "ready" else ""))

    def moved(self, words: str, done: int, total: int) -> None:
        """What comes has come so far: `done` of `total` bytes."""
        share = done / total if total else 1.0
        at = round(_PERCENT[Stage.PREPARING] + share * _FETCH_PERCENT)
        event: Event = {"progress": at, "message": words, "stage": str(Stage.PREPARING)}
        if self._events and "total_bytes" in self._events[-1][1]:
            self._events.pop()
        self._add({**event, "bytes": done, "total_bytes": total})

    def ready(self) -> None:
        """The workspace answers."""
        self._say(Stage.READY, "Ready: opening the workspace")
        self._end()

    def failed(self, error: PetriHubError) -> None:
        """The start failed; names the stage and the reason, with the log behind a click."""
        event: Event = {
            "progress": 100,
            "failed": True,
            "stage": str(_stage_of(error, self.stage)),
            "message": failure_text(error, self.stage),
            "html_message": failure_html(error, self.stage),
        }
        self._add(event)
        self._end()

    async def events(self) -> AsyncIterator[Event]:
        """All events so far, then those to come, until the start has ended."""
        seen = 0
        while True:
            changed = self._changed
            for number, event in [each for each in self._events if each[0] > seen]:
                seen = number
                yield dict(event)
            if self.ended and seen == self._said:
                return
            if seen == self._said:
                await changed.wait()

    def _usually(self) -> str:
        if self._estimate is None:
            return ""
        return f" (usually about {max(1, round(self._estimate))} s)"

    def _say(self, stage: Stage, message: str) -> None:
        self.stage = stage
        event: Event = {"progress": _PERCENT[stage], "message": message, "stage": str(stage)}
        if self._estimate is not None:
            event["estimate_seconds"] = round(self._waited + self._estimate, 1)
        last = self._events[-1][1]["progress"] if self._events else 0
        event["progress"] = max(_PERCENT[stage], last + 5 if last >= _PERCENT[stage] else 0)
        self._add(event)

    def _add(self, event: Event) -> None:
        self._said += 1
        self._events.append((self._said, event))
        self._wake()

    def _end(self) -> None:
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _stage_of(error: PetriHubError, otherwise: Stage) -> Stage:
    return error.stage if isinstance(error, StartFailed) else otherwise


def failure_text(error: PetriHubError, stage: Stage) -> str:
    """Which stage failed, why, and what to do next."""
    named = _STAGE_WORDS[_stage_of(error, stage)]
    return f"Failed while {named}: {error.message} {error.hint}".strip()


def failure_html(error: PetriHubError, stage: Stage) -> str:
    """The same as HTML, with the escaped end of the log behind a click."""
    text = f"<p>{html.escape(failure_text(error, stage))}</p>"
    log = error.log if isinstance(error, StartFailed) else ""
    if not log:
        return text
    return (
        f"{text}<details><summary>Last lines of the log</summary>"
        f"<pre>{html.escape(log)}</pre></details>"
    )
