"""When places are taken: rules with real tables; what the hub knows is given (see test_reconcile).

With a real hub and a real engine: tests/spawner/docker/test_docker_places.py.
"""

from dataclasses import dataclass, field, replace

import pytest
from sqlalchemy import select

from petrihub_core import groups
from petrihub_core.database import migrate
from petrihub_core.errors import Unavailable
from petrihub_core.intents import Effect
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.places import places_of
from petrihub_core.records import Notification, Person
from petrihub_core.roles import Actor, Permission
from petrihub_spawner.foundation import lay
from petrihub_spawner.hub_servers import Server
from petrihub_spawner.placing import placed
from petrihub_spawner.pod.codec import encode
from petrihub_spawner.pod.model import Container, Door, PodRef, Resources, WorkspacePod
from petrihub_spawner.withdrawn import Withdrawals

BOSS = Actor("boss", frozenset(Permission))
RUNNING = Server(user="ada", name="study", ready=True, pending="", workspace="ada/study")


@dataclass
class Knows:
    """Stands for the hub: what it says of its servers, and what it was asked."""

    servers: dict[str, Server] = field(default_factory=lambda: {RUNNING.workspace: RUNNING})
    stopped: list[str] = field(default_factory=list)
    asked: int = 0
    silent: bool = False

    async def active(self, person_ids):
        self.asked += 1
        if self.silent:
            raise Unavailable("The hub does not answer.")
        return self.servers

    async def stop(self, server):
        self.stopped.append(server.workspace)


@pytest.fixture
async def watch(deployment):
    """Ada's workspace runs with the folder of her group."""
    await migrate(deployment.database_url)
    foundation = lay(deployment, "boot")
    ref = PodRef(deployment=deployment.id, person="ada", workspace="study")
    async with foundation.database.session() as session:
        session.add(Person(id="ada", issuer=LOCAL_ISSUER, subject="ada", username="ada"))
        await session.flush()
        await groups.make(session, BOSS, name="imaging", title="Light sheet")
        await groups.add_member(session, BOSS, "imaging", "ada")
        volumes, mounts = placed(ref, "/home/researcher", await places_of(session, "ada"))
    pod = WorkspacePod(
        ref=ref,
        intent="",
        main=Container(
            name="main",
            image="i",
            mounts=mounts,
            resources=Resources(cpu=1, memory_bytes=2**30, pids=64),
        ),
        door=Door(port=8888),
        volumes=volumes,
        start_timeout=60,
        stop_grace=5,
    )
    effect = Effect(kind="start", workspace=ref.key, owner="ada", external={}, plan=encode(pod))
    row = await foundation.intents.begin(effect, deadline_s=60)
    await foundation.intents.finish(row.id)
    yield Withdrawals(foundation, Knows())
    await foundation.database.close()


async def take_out(watch):
    async with watch.foundation.database.session() as session:
        await groups.remove_member(session, BOSS, "imaging", "ada")


async def told(watch):
    async with watch.foundation.database.reading() as session:
        return [row.text for row in await session.scalars(select(Notification))]


async def test_the_hub_is_asked_only_when_somebody_lost_something_and_once_a_minute(watch):
    for _ in range(6):
        assert await watch.look() == []
    assert watch.hub.asked == 1
    assert await watch.look() == []
    assert watch.hub.asked == 2
    await take_out(watch)
    assert await watch.look() == ["ada/study"]
    # until it has ended, and told once
    assert await watch.look() == ["ada/study"]
    watch.hub.servers = {}
    assert await watch.look() == []
    asked = watch.hub.asked
    assert await watch.look() == []
    assert watch.hub.asked == asked
    assert watch.hub.stopped == ["ada/study"] * 2
    assert len(await told(watch)) == 1


async def test_what_still_starts_is_stopped_as_soon_as_it_runs(watch):
    await watch.look()
    watch.hub.servers = {RUNNING.workspace: replace(RUNNING, ready=False, pending="spawn")}
    await take_out(watch)
    assert await watch.look() == []
    assert await told(watch) == []
    watch.hub.servers = {RUNNING.workspace: RUNNING}
    assert await watch.look() == ["ada/study"]


async def test_a_hub_that_is_silent_is_asked_again(watch):
    await watch.look()
    await take_out(watch)
    watch.hub.silent = True
    with pytest.raises(Unavailable):
        await watch.look()
    watch.hub.silent = False
    assert await watch.look() == ["ada/study"]


async def test_a_closed_account_has_no_place_at_all(watch):
    await watch.look()
    async with watch.foundation.database.session() as session:
        (await session.get_one(Person, "ada")).active = False
    assert await watch.look() == ["ada/study"]
    assert "Your account was closed." in (await told(watch))[0]


async def test_who_gains_a_place_is_not_stopped(watch):
    await watch.look()
    async with watch.foundation.database.session() as session:
        await groups.make(session, BOSS, name="genomics", title="Genomics")
        await groups.add_member(session, BOSS, "genomics", "ada")
    for _ in range(6):
        assert await watch.look() == []
