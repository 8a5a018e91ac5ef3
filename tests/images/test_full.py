"""F44, F16: the image server's disk is full. A save ends in words; nothing half is left."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import State
from petrihub_images.registry import Registry
from petrihub_images.sweep import Sweeper
from petrihub_sidecars.checkpointer.registry import RegistryFailed, Repository

from tests.images.conftest import Member, Site, keep_base, running_site
from tests.sidecars.registries import blob_of
from tests.small_disk import SmallDisk, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "state/images/registry/storage", 8) as made:
        yield made


@pytest.fixture
async def site(disk: SmallDisk, tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path / "state") as made:
        await keep_base(made)
        yield made


def halves(disk: SmallDisk) -> list[Path]:
    """Uploads that were not ended."""
    return list(disk.folder.rglob("_uploads/*/data"))


async def push(site: Site, who: Member, size: int) -> None:
    """As the helper does: its own code, by the front."""
    token = (await site.token(who)).removeprefix("Bearer ")
    repository = Repository(site.server.pods, who.repository, lambda: token)
    await asyncio.to_thread(repository.push, blob_of(os.urandom(size)))
    repository.close()


async def test_a_save_without_room_leaves_nothing_and_later_saves_are_whole(
    site: Site, ada: Member, eve: Member, disk: SmallDisk
) -> None:
    first = await site.ask(ada, "small")
    kept = await site.save(ada, await site.order(ada), {"a": b"kept"})
    assert (await site.report(ada, first.id, kept)).status_code == 204

    large = await site.ask(ada, "too large")
    await site.order(ada)
    with pytest.raises(RegistryFailed, match="has no space left") as failure:
        await push(site, ada, 12 * 2**20)
    assert halves(disk)
    said = {"state": "failed", "reason": str(failure.value)}
    assert (await site.report(ada, large.id, said)).status_code == 204
    row = await site.row(large.id)
    assert (row.state, row.reason) == (State.FAILED, "The image server has no space left.")
    assert halves(disk) == []  # so the room that it took is there again
    await site.ask(eve, "in between")
    await site.order(eve)
    await push(site, eve, 4 * 2**20)

    disk.fill()
    token = await site.token(ada, "pull")
    answer = await site.pull(ada.repository, kept["manifest_digest"], token)
    assert answer.status_code == 200  # what was saved can be fetched all the time
    again = await site.ask(ada, "again")
    order = await site.order(ada)
    with pytest.raises(RegistryFailed, match="no space left"):
        await push(site, ada, 2**20)
    disk.free()
    result = await site.save(ada, order, {"a": b"again"})
    assert (await site.report(ada, again.id, result)).status_code == 204
    assert (await site.row(again.id)).state == State.DONE


async def test_what_a_helper_that_died_had_pushed_is_swept(
    site: Site, ada: Member, disk: SmallDisk
) -> None:
    asked = await site.ask(ada)
    await site.order(ada)
    token = await site.token(ada)
    begun = await site.call("POST", f"/v2/{ada.repository}/blobs/uploads/", token)
    headers = {"Content-Type": "application/octet-stream", "Content-Range": "0-99"}
    where = begun.headers["Location"]
    answer = await site.call("PATCH", where, token, content=b"x" * 100, headers=headers)
    assert answer.status_code == 202, answer.text
    registry = Registry(site.deployment, site.server.registry)
    sweeper = Sweeper(site.deployment, site.database, registry)
    assert not await sweeper.sweep()  # while it saves
    assert halves(disk)
    async with site.database.session() as session:
        (await session.get_one(Checkpoint, asked.id)).state = State.FAILED
    assert await sweeper.sweep()
    assert halves(disk) == []
