"""Write-ahead intents: committed before the effect, ended once, measured."""

from datetime import timedelta

from petrihub_core.database import Database
from petrihub_core.intents import Effect, Intents
from petrihub_core.records import IntentRow, now

START = Effect(
    kind="start",
    workspace="p1/bench",
    owner="ada",
    external={"container": "ws-1"},
    plan={"image": "sha256:1"},
    profile="bio",
    size="small",
)


async def test_an_intent_is_on_record_for_others_when_begin_returns(
    database: Database, database_url: str
) -> None:
    row = await Intents(database, "boot1").begin(START, deadline_s=30)
    other = Database.open(database_url)
    [seen] = await Intents(other, "boot2").open_intents()
    await other.close()
    assert (seen.id, seen.boot, seen.external) == (row.id, "boot1", {"container": "ws-1"})
    assert seen.deadline - seen.started_at == timedelta(seconds=30)


async def test_a_step_keeps_what_was_known_and_adds_what_is_new(database: Database) -> None:
    intents = Intents(database, "b")
    row = await intents.begin(START, deadline_s=30)
    await intents.step(row.id, "created", external={"id": "abc"})
    seen = await intents.get(row.id)
    assert seen is not None
    assert seen.step == "created"
    assert seen.external == {"container": "ws-1", "id": "abc"}


async def test_the_first_ending_counts(database: Database) -> None:
    intents = Intents(database, "b")
    row = await intents.begin(START, deadline_s=30)
    await intents.fail(row.id, "The disk is full." + "x" * 5000)
    await intents.finish(row.id)
    seen = await intents.get(row.id)
    assert seen is not None
    assert seen.state == "failed"
    assert seen.reason.startswith("The disk is full.")
    assert seen.ended_at is not None
    assert await intents.open_intents() == []


async def test_the_estimate_is_the_median_of_finished_starts(database: Database) -> None:
    intents = Intents(database, "b")
    assert await intents.start_seconds("bio", "small") is None
    begun = now()
    for seconds, state, size in ((5, "done", "small"), (7, "done", "small"), (100, "done", "small"),
                                 (900, "failed", "small"), (800, "done", "large")):  # fmt: skip
        async with database.session() as session:
            session.add(
                IntentRow(
                    kind="start",
                    workspace="p1/bench",
                    owner="ada",
                    boot="b",
                    profile="bio",
                    size=size,
                    state=state,
                    started_at=begun,
                    ended_at=begun + timedelta(seconds=seconds),
                    deadline=begun,
                )
            )
    assert await intents.start_seconds("bio", "small") == 7
