"""How far a fetch is, in the engine's own lines, and that a start which moves is not late (F14)."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from petrihub_core.database import Database, migrate
from petrihub_core.intents import START, Effect, Intents
from petrihub_core.records import now
from petrihub_spawner.backends.arriving import Arriving
from petrihub_spawner.journal import IntentJournal
from petrihub_spawner.progress import Progress

LARGE, SMALL, THERE = (f"sha256:{letter * 64}" for letter in "abc")


def line(layer: str, status: str, current: int | None = None) -> dict[str, object]:
    detail = {} if current is None else {"current": current, "total": -1}
    return {"id": layer.removeprefix("sha256:")[:12], "status": status, "progressDetail": detail}


def test_what_is_there_already_does_not_count_and_unpacking_follows() -> None:
    arriving = Arriving({LARGE: 4_000_000_000, SMALL: 1_000_000_000, THERE: 9_000_000_000})
    arriving.hear({"status": "Pulling from checkpoints/p/w", "id": "sha256:" + "d" * 64})
    arriving.hear(line(THERE, "Already exists"))
    arriving.hear(line(LARGE, "Pulling fs layer"))
    assert arriving.words == "Fetching the checkpoint: 0.0 of 5.0 GB"
    arriving.hear(line(LARGE, "Downloading", 1_200_000_000))
    arriving.hear(line(SMALL, "Download complete"))
    arriving.hear(line(SMALL, "Extracting", 500_000_000))
    assert arriving.words == "Fetching the checkpoint: 2.2 of 5.0 GB"
    arriving.hear(line(LARGE, "Verifying Checksum"))
    assert arriving.words == "Unpacking the checkpoint: 0.5 of 5.0 GB"
    for layer in (SMALL, LARGE):
        arriving.hear(line(layer, "Pull complete"))
    assert arriving.bytes == (5_000_000_000, 5_000_000_000)


def test_small_ones_are_told_in_smaller_units() -> None:
    arriving = Arriving({SMALL: 310_000_000})
    arriving.hear(line(SMALL, "Downloading", 12_400_000))
    assert arriving.words == "Fetching the checkpoint: 12 of 310 MB"
    assert Arriving({}).bytes == (0, 0)


async def test_what_moves_is_not_late_neither_here_nor_on_record(tmp_path: Path) -> None:
    """F14: and the rows that this takes are few, however many lines the engine writes."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'petrihub.sqlite'}"
    await migrate(url)
    database = Database.open(url)
    intents = Intents(database, "boot")
    effect = Effect(kind=START, workspace="p/w", owner="p", external={}, plan={})
    row = await intents.begin(effect, deadline_s=1)
    written: list[float] = []

    class Counted(Intents):
        async def prolong(self, intent_id: str, deadline_s: float) -> None:
            written.append(deadline_s)
            await super().prolong(intent_id, deadline_s)

    progress = Progress()
    journal = IntentJournal(Counted(database, "boot"), row.id, "start", progress)
    async with asyncio.timeout(60) as clock:
        first = clock.when()
        journal.limited(clock, 600, 30)
        for done in range(100):
            await journal.moved(f"{done}", done, 100)
        await journal.moved("all", 100, 100)
        assert clock.when() > first + 500
    assert written == [630]
    assert (await intents.get(row.id)).deadline > now() + timedelta(seconds=600)
    progress.ready()
    told = [event async for event in progress.events()]
    assert [each.get("message") for each in told] == ["all", "Ready: opening the workspace"]
    assert told[0]["progress"] == pytest.approx(35)
    await database.close()
