"""Room comes back, and a sweep takes nothing of a push (F44: "GC during push")."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from petrihub_core import checkpoints
from petrihub_core.checkpoint_records import BaseImage, Checkpoint
from petrihub_core.image_server import PUSH, Access
from petrihub_core.records import WorkspaceImage
from petrihub_images import sweep
from petrihub_images.registry import Registry
from petrihub_images.sweep import Sweeper, pushing

from tests.images.conftest import BASE_DIGEST, Member, Site, digest

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


@pytest.fixture
def sweeper(site: Site) -> Sweeper:
    registry = Registry(site.deployment, site.server.registry)
    return Sweeper(site.deployment, site.database, registry)


def blobs(site: Site) -> set[str]:
    """What is on the registry's disk."""
    folder = site.deployment.state / "images/registry/storage/docker/registry/v2/blobs/sha256"
    return {f"sha256:{path.parent.name}" for path in Path(folder).glob("*/*/data")}


async def saved(site: Site, who: Member, name: str, files: dict[str, bytes]) -> Checkpoint:
    asked = await site.ask(who, name)
    result = await site.save(who, await site.order(who), files)
    assert (await site.report(who, asked.id, result)).status_code == 204
    return await site.row(asked.id)


async def deleted(site: Site, who: Member, row: Checkpoint) -> None:
    async with site.database.session() as session:
        await checkpoints.delete(session, who.person.username, who.person, row.id)

    async def there() -> bool:
        async with site.database.reading() as session:
            return await session.get(Checkpoint, row.id) is not None

    while await there():  # noqa: ASYNC110 - ends with the test's own limit if it stays
        await asyncio.sleep(0.05)


async def test_what_nobody_names_goes_and_what_somebody_names_stays(
    site: Site, ada: Member, eve: Member, sweeper: Sweeper
) -> None:
    shared = {"opt/same": b"the same in both"}
    mine = await saved(site, ada, "mine", {"opt/mine": b"x" * 1000})
    same = await saved(site, ada, "same", shared)
    hers = await saved(site, eve, "hers", shared)
    assert same.layer_digest == hers.layer_digest
    for row in (same, mine):
        await deleted(site, ada, row)
    assert await sweeper.sweep()
    left = blobs(site)
    assert mine.layer_digest not in left
    assert {hers.layer_digest, hers.manifest_digest, digest(site.base_layer)} <= left
    token = await site.token(eve, "pull")
    assert (await site.pull(eve.repository, hers.manifest_digest, token)).status_code == 200
    # a base goes with the last checkpoint on it, unless a profile still runs it
    await deleted(site, eve, hers)
    assert await sweeper.sweep()
    assert digest(site.base_layer) in blobs(site)
    async with site.database.session() as session:
        await session.execute(delete(WorkspaceImage))
    assert await sweeper.sweep()
    assert blobs(site) == set()
    async with site.database.reading() as session:
        assert (await session.scalars(select(BaseImage))).all() == []


async def test_nothing_is_swept_while_somebody_saves(
    site: Site, ada: Member, sweeper: Sweeper
) -> None:
    asked = await site.ask(ada)
    order = await site.order(ada)
    token = await site.token(ada)
    layer = b"the first blob of a push"
    assert (await site.push_blob(ada.repository, token, layer)).status_code == 201
    assert not await sweeper.sweep()
    assert digest(layer) in blobs(site)
    result = await site.save(ada, order, {"a": b"1"})
    assert (await site.report(ada, asked.id, result)).status_code == 204
    assert await sweeper.sweep()
    assert digest(layer) not in blobs(site)
    token = await site.token(ada, "pull")
    assert (await site.pull(ada.repository, result["manifest_digest"], token)).status_code == 200


async def test_what_a_save_pushed_that_came_to_nothing_goes(
    site: Site, ada: Member, sweeper: Sweeper
) -> None:
    kept = await saved(site, ada, "kept", {"opt/kept": b"1"})
    asked = await site.ask(ada, "dropped")
    result = await site.save(ada, await site.order(ada), {"opt/dropped": b"2"})
    said = {"state": "failed", "reason": "It was ended."}
    assert (await site.report(ada, asked.id, said)).status_code == 204
    assert {result["manifest_digest"], result["layer"]["digest"]} <= blobs(site)
    assert await sweeper.sweep()
    left = blobs(site)
    assert not {result["manifest_digest"], result["layer"]["digest"]} & left
    token = await site.token(ada, "pull")
    assert (await site.pull(ada.repository, kept.manifest_digest, token)).status_code == 200
    assert {kept.layer_digest, kept.manifest_digest, digest(site.base_layer)} <= left


async def test_while_it_is_swept_no_push_begins_and_those_who_wait_go_on(
    site: Site, ada: Member, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hold(self: Sweeper) -> None:
        begun.set()
        await go_on.wait()

    monkeypatch.setattr(Sweeper, "_forget_bases", hold)
    sweeping = asyncio.create_task(sweeper.sweep())
    await begun.wait()
    asked = await site.ask(ada)
    while not (await site.row(asked.id)).prepared:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    assert (await site.call("GET", "/sidecar/v1/order", ada)).status_code == 204
    assert not await Sweeper(site.deployment, site.database, sweeper._registry).sweep()
    async with site.database.session() as session:
        assert await sweep.is_swept(session)
    go_on.set()
    assert await sweeping
    order = await site.order(ada)
    result = await site.save(ada, order, {"a": b"1"})
    assert (await site.report(ada, asked.id, result)).status_code == 204


async def test_a_base_that_is_on_its_way_keeps_the_sweep_away(site: Site, sweeper: Sweeper) -> None:
    async with site.database.session() as session:
        (await session.get_one(BaseImage, BASE_DIGEST)).manifest_digest = ""
    assert not await sweeper.sweep()
    assert digest(site.base_layer) in blobs(site)


async def test_nothing_is_swept_while_the_hub_itself_pushes(site: Site, sweeper: Sweeper) -> None:
    layer = b"a layer that is imported"
    repository = "checkpoints/" + "0" * 32 + "/study"
    token = site.hub_token(Access(repository, PUSH))
    async with pushing(site.database):
        url = site.server.loopback
        assert (await site.push_blob(repository, token, layer, url=url)).status_code == 201
        assert not await sweeper.sweep()
    assert digest(layer) in blobs(site)
    assert await sweeper.sweep()
    assert digest(layer) not in blobs(site)


async def test_deleting_is_enough_the_service_sweeps_by_itself(
    site: Site, ada: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petrihub_images.keeper._SWEEP_EVERY", 1)
    row = await saved(site, ada, "mine", {"opt/mine": b"x"})
    await deleted(site, ada, row)
    while row.layer_digest in blobs(site):  # noqa: ASYNC110 - the test's own limit ends it
        await asyncio.sleep(0.05)
