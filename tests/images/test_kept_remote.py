"""Saved at the stop while the files are on another machine: whoever of the storage goes meanwhile.

The real hub, engine, registry, checkpointer, storage helper and file server.
"""
# ruff: noqa: F811 - fixtures of other folders are imported

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from petrihub_core import storage_keys
from petrihub_core.checkpoints import State
from petrihub_core.deployment import Deployment
from petrihub_spawner.backends.networks import ensure_hub_network
from petrihub_spawner.pod.model import CARRIER_LABEL

from tests.images.test_kept import (  # noqa: F401 - fixtures
    Studio,
    client,
    recorded,
    sidecars,
    studio,
)
from tests.spawner.conftest import new_hub  # noqa: F401 - a fixture
from tests.spawner.docker.conftest import (  # noqa: F401 - fixtures
    docker_deployment as machine,
)
from tests.spawner.docker.conftest import (  # noqa: F401 - fixtures
    engine_socket,
    idle_docker_hub,
    stand_in_image,
)
from tests.storage.house import House

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]


@pytest.fixture
def house(machine: Deployment, tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, machine, address=ensure_hub_network(machine))
    with made.serving():
        yield made


@pytest.fixture
def docker_deployment(house: House) -> Deployment:
    """With its homes on the file server."""
    return house.deployment


@pytest.fixture
async def orderly(studio: Studio) -> AsyncIterator[Studio]:
    """Whatever happens, nothing stays mounted on the engine's disk."""
    yield studio
    runner = studio.hub.runner()
    await runner.remove(await runner.find(), grace=1)


async def test_f44_what_is_kept_is_saved_without_the_storage(orderly: Studio, house: House) -> None:
    """F44, A40: helper killed, server gone, nobody to save; then saved, and the files are there."""
    studio, hub = orderly, orderly.hub
    carriers = {"label": [f"{CARRIER_LABEL}=yes", f"org.petrihub.deployment={hub.deployment.id}"]}
    await hub.start()
    before = await studio.used()
    [files] = (house.data / "homes").glob("*/files")
    assert (files / "results.csv").read_text() == "in the home"
    [carrier] = studio.client.containers(filters=carriers)
    studio.client.kill(carrier["Id"])  # what it mounted stays, and nobody answers for it
    house.kill_file_server()
    await studio.service.stop()

    await hub.stop("ada", "study")

    assert (await studio.row()).state == State.ASKED
    # no helper and no key of it is kept with what is kept
    assert studio.client.containers(all=True, filters=carriers) == []
    async with studio.database.reading() as session:
        assert await storage_keys.logins(session) == []
    await studio.service.start()
    saved = await studio.saved()
    assert not [each for each in saved.changes if each["path"].startswith("/home")]
    assert studio.client.containers(all=True, filters=carriers) == []

    house.start_file_server()
    assert await studio.go_on() == before
    assert (files / "results.csv").read_text() == "in the home"
    async with studio.database.reading() as session:
        assert {each.account[:2] for each in await storage_keys.logins(session)} == {"h-", "pu"}
