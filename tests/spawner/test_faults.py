"""A hub killed at any step of a start or stop leaves nothing behind once it is back."""

import psutil
import pytest

from petrihub_spawner.contract import ask, until

from tests.spawner.killed_hub import (
    killed_beside_a_workspace,
    killed_during_a_start,
    killed_during_a_stop,
    look,
)

STARTS = [
    "start.begun",
    "start.clear.unrecorded",
    "start.clear",
    "start.process.unrecorded",
    "start.process",
    "start.ready.unrecorded",
    "start.ready",
    "start.finished",
]
STOPS = ["stop.begun", "stop.end.unrecorded", "stop.end", "stop.ended", "stop.finished"]


@pytest.mark.parametrize("place", STARTS)
async def test_a_hub_killed_during_a_start(idle_hub, place):
    await killed_during_a_start(idle_hub, place)


@pytest.mark.parametrize("place", STOPS)
async def test_a_hub_killed_during_a_stop(idle_hub, place):
    await killed_during_a_stop(idle_hub, place)


async def test_a_killed_hub_does_not_hurt_a_running_workspace(hub):
    await killed_beside_a_workspace(hub)


async def test_what_the_hub_does_not_know_is_removed_and_strangers_are_left_alone(hub, local_bench):
    orphan = local_bench.pod("somebody", "orphan")
    await local_bench.runner.start(orphan, hub.silent)
    stranger = local_bench.another_runner(deployment="stranger")
    other = local_bench.pod("somebody", "other", deployment="stranger")
    await stranger.start(other, hub.silent)
    await hub.ready("ada", "study")
    try:
        done = await hub.reconcile()
        assert done.removed == [orphan.ref.key]
        assert [item.ref.workspace for item in await hub.runner().find()] == ["study"]
        assert (await stranger.look(other.ref)).running
    finally:
        await stranger.remove(await stranger.find(), grace=0)


async def test_a_workspace_that_dies_is_noticed_and_can_be_started_again(hub):
    await hub.ready("ada", "study")
    await ask((await look(hub)).address, "exit", code=1)

    async def gone() -> bool:
        return not (await hub.server("ada", "study")).get("ready")

    await until(gone)
    await hub.ready("ada", "study")


async def test_no_process_of_a_stopped_workspace_is_left(hub):
    await hub.ready("ada", "study")
    await ask((await look(hub)).address, "stray")

    async def astray() -> bool:
        return len(await hub.runner().find()) > 1

    await until(astray)
    await hub.stop("ada", "study")
    assert await hub.runner().find() == []


async def test_a_reused_process_number_is_never_killed(local_bench):
    mine = psutil.Process()
    pod = local_bench.pod("ada", "study")
    await local_bench.runner.start(pod, local_bench.silent)
    (found,) = await local_bench.runner.find(pod.ref)
    # the same number, but of a process that began at another time
    forged = found.__class__(
        kind="process", handle=f"{mine.pid}@{mine.create_time() - 60}", ref=pod.ref, intent=""
    )
    await local_bench.runner.remove([forged], grace=0)
    assert mine.is_running()
