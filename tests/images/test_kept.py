"""A real hub, engine, registry and checkpointer: what was installed is saved when it stops (F44).

Who is killed, and when: the hub at each step of the stop, the reconciler at each step of the
save, the helper, the image service, and all containers at once, as a restart of the engine does.
"""
# ruff: noqa: F811 - fixtures of other folders are imported

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import docker
import pytest
from sqlalchemy import select

from petrihub_cli.engine import Engine
from petrihub_cli.image_server import running_image_server
from petrihub_core import at_stop, settings
from petrihub_core.at_stop import options_to_go_on
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import State
from petrihub_core.image_server import require_image_server
from petrihub_core.images import register_image
from petrihub_core.menu import MenuSettings
from petrihub_core.records import Notification, now
from petrihub_core.tools import SIDECARS_IMAGE
from petrihub_spawner import kept
from petrihub_spawner.contract import until
from petrihub_spawner.pod.model import PodRef

from tests.images.conftest import Answering, require_programs
from tests.sidecars.test_checkpointer_engine import (  # noqa: F401 - fixtures
    client,
    recorded,
    run_in,
    sidecars,
)
from tests.spawner.conftest import Hub, new_hub  # noqa: F401 - a fixture
from tests.spawner.docker.conftest import (  # noqa: F401 - fixtures
    docker_deployment,
    engine_socket,
    idle_docker_hub,
    stand_in_image,
)

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]


@dataclass
class Studio:
    """A PetriHub whose profile says: save when it stops."""

    hub: Hub
    client: docker.APIClient
    service: Answering

    @property
    def database(self):
        return self.hub.foundation.database

    async def rows(self) -> list[Checkpoint]:
        async with self.database.reading() as session:
            return list(await session.scalars(select(Checkpoint)))

    async def row(self) -> Checkpoint:
        [only] = await self.rows()
        return only

    async def main(self) -> str:
        found = await self.hub.runner().find()
        ref = next(item.ref for item in found)
        return ref.name

    async def used(self) -> dict[str, list]:
        """Start it and do what people do; everything that there is then."""
        await self.hub.ready("ada", "study")
        return await self.work()

    async def work(self) -> dict[str, list]:
        name = await self.main()
        await asyncio.to_thread(run_in, self.client, name, "work")
        return await self.inventory()

    async def inventory(self) -> dict[str, list]:
        said = await asyncio.to_thread(run_in, self.client, await self.main(), "inventory", "0")
        found: dict[str, list] = json.loads(said)
        return found

    async def saved(self) -> Checkpoint:
        """Rounds of the reconciler, until it is saved and nothing is left outside."""

        async def done() -> bool:
            await self.hub.reconcile()
            row = await self.row()
            assert row.state != State.FAILED, row.reason
            return row.state == State.DONE and not await self.hub.runner().find()

        await until(done, patience=180)
        return await self.row()

    async def go_on(self) -> dict[str, list]:
        """Start it again as its page does; everything that there is."""
        row = await self.row()
        async with self.database.reading() as session:
            options = {"profile": "notebooks", "size": "small"}
            options = await options_to_go_on(session, row.owner, "study", options)
        assert options["checkpoint"] == row.id
        await self.hub.begin("ada", "study", options)
        assert (await self.hub.events("ada", "study"))[-1].get("ready")
        return await self.inventory()

    async def refusal(self) -> str:
        """The words with which a start is refused; it is not told as a failed one."""
        await self.hub.begin("ada", "study")
        words = str((await self.hub.events("ada", "study"))[-1].get("message"))
        assert "study could not be started" not in await self.told()
        return words

    async def told(self) -> list[str]:
        async with self.database.reading() as session:
            return list(await session.scalars(select(Notification.title)))

    async def try_now(self) -> None:
        async with self.database.session() as session:
            row = await session.scalar(select(Checkpoint))
            row.deadline = now() - timedelta(seconds=1)


@pytest.fixture
async def studio(
    idle_docker_hub: Hub, client: docker.APIClient, sidecars: str, recorded: str
) -> AsyncIterator[Studio]:
    require_programs()
    hub, deployment = idle_docker_hub, idle_docker_hub.deployment
    deployment.logs.mkdir(parents=True, exist_ok=True)
    async with hub.foundation.database.session() as session:
        for name, digest in (("petrihub/base", recorded), (SIDECARS_IMAGE, sidecars)):
            await register_image(
                session, name=name, digest=digest, size_bytes=1, apps=[], labels={}
            )
        saving = [each.model_copy(update={"save_at_stop": True}) for each in deployment.profiles]
        menu = MenuSettings(sizes=deployment.sizes, profiles=tuple(saving))
        await settings.write(session, menu, by="boss")
    engine = Engine(socket=deployment.docker.socket, started_by_us=False, pid=None)
    async with running_image_server(deployment, engine, print):
        server = require_image_server(deployment)
        async with Answering(deployment, deployment.database_url, server) as service:
            yield Studio(hub, client, service)
    for image in client.images(all=True):
        for name in image["RepoDigests"] or []:
            if name.startswith(server.engine):
                client.remove_image(name, force=True)


async def test_what_was_installed_is_there_at_the_next_start_byte_for_byte(
    studio: Studio,
) -> None:
    hub = studio.hub
    await hub.start()
    before = await studio.used()

    await hub.stop("ada", "study")  # as fast as ever: saving goes on without the hub

    row = await studio.row()
    assert (row.state, row.at_stop) == (State.ASKED, True)
    assert await hub.runner().find()
    assert "is being saved" in await studio.refusal()
    await studio.saved()
    assert await studio.go_on() == before
    # stopped again without a change, it is saved again, and the newer one stands on the older
    assert (await studio.row()).name.startswith("When it stopped")


async def test_f46_two_clients_that_stop_it_at_once_have_it_saved_once(studio: Studio) -> None:
    hub = studio.hub
    await hub.start()
    before = await studio.used()
    address = "users/ada/servers/study"
    answers = await asyncio.gather(*(hub.ask("DELETE", address) for _ in range(2)))
    # JupyterHub itself may answer one of them with 500; the portal does not (test_home)
    assert {answer.status_code for answer in answers} & {202, 204}
    await hub.stop("ada", "study")  # a third one, who waits until it is stopped
    assert (await studio.row()).at_stop  # the only one
    await studio.saved()
    assert await studio.go_on() == before


@pytest.mark.parametrize("place", ["stop.begun", "stop.asked", "stop.end", "stop.ended"])
async def test_a_hub_that_is_killed_while_it_stops_a_workspace_loses_nothing(
    studio: Studio, place: str
) -> None:
    hub = studio.hub
    await hub.start(failpoint=place)
    before = await studio.used()
    await hub.begin_stop("ada", "study")
    await hub.died()
    await hub.start()
    await hub.settled()
    await hub.reconcile()
    assert await hub.server("ada", "study") == {}
    assert await hub.foundation.intents.open_intents() == []
    assert (await studio.row()).at_stop
    assert [each.kind for each in await hub.runner().find()].count("container") >= 1
    if place == "stop.begun":  # the others go on in the same way
        await studio.saved()
        assert await studio.go_on() == before


class Killed(Exception):
    """In the place of a kill of the reconciler: nothing of it goes on."""


async def test_it_waits_to_be_saved_whoever_is_killed_and_is_saved_once(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, places = studio.hub, ["save.revived", "save.handed-over", "save.woken"]

    def killed_once(name: str) -> None:
        if name in places:
            places.remove(name)
            raise Killed(name)

    monkeypatch.setattr(kept, "fail_point", killed_once)
    await hub.start()
    before = await studio.used()
    await studio.service.stop()

    await hub.stop("ada", "study")
    for _ in range(2):
        await studio.try_now()
        await hub.reconcile()
    row = await studio.row()
    assert (row.state, row.reason) == (State.WAITING, "The image service does not answer.")
    assert (await studio.told()).count("study waits to be saved") == 1
    assert "not saved yet" in await studio.refusal()
    await hub.kill()
    await hub.start()
    await hub.settled()

    await studio.service.start()
    await studio.try_now()
    while places:
        with pytest.raises(Killed):
            await hub.reconcile()
    # as after a restart of the engine: every container has ended; then `docker network prune`
    found = await hub.runner().find()
    for each in sorted(found, key=lambda each: each.kind):
        if each.kind == "container":
            studio.client.kill(each.handle)
        else:
            studio.client.remove_network(each.handle)
    await hub.reconcile()

    async def taken() -> bool:
        return (await studio.row()).state == State.SAVING

    await until(taken)
    helper = next(
        each["Id"]
        for each in studio.client.containers(filters={"label": f"org.petrihub.intent={row.id}"})
    )
    studio.client.kill(helper)
    await studio.service.stop()
    await studio.service.start()
    await studio.saved()
    assert (await studio.told()).count("study waits to be saved") == 1
    assert await studio.go_on() == before


async def test_a_workspace_that_ends_by_itself_is_saved_unless_its_container_is_gone(
    studio: Studio,
) -> None:
    hub = studio.hub
    await hub.start()
    await studio.used()
    studio.client.kill(await studio.main())

    async def ended() -> bool:
        return not await hub.server("ada", "study")

    await until(ended)
    assert (await studio.row()).at_stop
    ref = PodRef(deployment=hub.deployment.id, person=(await studio.row()).owner, workspace="study")
    assert await hub.runner().find(ref)
    await studio.saved()

    # F11: somebody removes the container itself; it is never called saved
    await hub.ready("ada", "study")
    studio.client.remove_container(await studio.main(), force=True)
    await until(ended)
    await hub.reconcile()
    newest = max(await studio.rows(), key=lambda row: row.sequence)
    assert (newest.state, newest.reason) == (State.FAILED, at_stop.GONE)
    await hub.reconcile()
    assert await hub.runner().find() == []
