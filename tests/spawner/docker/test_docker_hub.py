"""A real hub with DockerWorkspaceSpawner: a person's day, and a hub killed at every step."""

import pytest

from petrihub_spawner.contract import ask

from tests.spawner.killed_hub import (
    killed_beside_a_workspace,
    killed_during_a_start,
    killed_during_a_stop,
    look,
)

pytestmark = pytest.mark.docker

STARTS = [
    "start.begun",
    "start.clear",
    "start.objects.unrecorded",
    "start.objects",
    "start.launch.unrecorded",
    "start.launch",
    "start.ready.unrecorded",
    "start.ready",
    "start.finished",
]
STOPS = ["stop.begun", "stop.end", "stop.ended", "stop.finished"]


async def address_of(hub):
    kinds = sorted(item.kind for item in await hub.runner().find())
    assert kinds == ["container", "network"]
    return (await look(hub)).address


async def test_a_person_starts_uses_and_stops_a_workspace(docker_hub):
    hub = docker_hub
    await hub.begin("ada", "study")
    events = await hub.events("ada", "study")
    stages = [event["stage"] for event in events if "stage" in event]
    assert stages == sorted(stages, key=["queued", "preparing", "starting", "ready"].index)
    assert events[-1]["ready"]
    address = await address_of(hub)
    environment = await ask(address, "environment")
    # the workspace reaches the hub's API on the hub network's gateway
    url = environment["JUPYTERHUB_API_URL"]
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    assert await ask(address, "connect", host=host, port=port) == "reached"
    await ask(address, "write", name="notes.txt", text="42")
    await hub.stop("ada", "study")
    assert await hub.runner().find() == []
    await hub.ready("ada", "study")
    assert await ask(await address_of(hub), "read", name="notes.txt") == "42"


async def test_what_is_not_on_the_allow_list_is_not_started(docker_hub):
    await docker_hub.begin("ada", "study", {"profile": "bio-studio", "size": "small"})
    failed = (await docker_hub.events("ada", "study"))[-1]
    assert "petrihub/bio is not built yet" in failed["message"]
    assert await docker_hub.runner().find() == []
    await docker_hub.ready("ada", "study")


async def test_a_killed_hub_does_not_hurt_a_running_workspace(docker_hub):
    await killed_beside_a_workspace(docker_hub)


@pytest.mark.parametrize("place", STARTS)
async def test_a_hub_killed_during_a_start(idle_docker_hub, place):
    await killed_during_a_start(idle_docker_hub, place)
    await address_of(idle_docker_hub)


@pytest.mark.parametrize("place", STOPS)
async def test_a_hub_killed_during_a_stop(idle_docker_hub, place):
    await killed_during_a_stop(idle_docker_hub, place)
    await address_of(idle_docker_hub)
