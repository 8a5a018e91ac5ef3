"""Archives of which a bit flips (F41), whose receiver is killed (F40), whose source rots (F43)."""
# ruff: noqa: F811 - a fixture is imported

import asyncio
import io
import json
import os
import random
import signal
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from petrihub_core import checkpoint_archive, checkpoint_imports, checkpoint_signing
from petrihub_core.checkpoint_imports import Step
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.errors import Refused, Unavailable
from petrihub_core.records import Notification
from petrihub_images.arriving import Arrived, arrived, opened
from petrihub_portal.areas.checkpoint_archives_api import _watched

from tests.images.conftest import Member, Site
from tests.images.test_archives import exported, forgotten, row, sent, settled  # noqa: F401 - a fixture

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


async def test_f41_a_byte_that_flips_on_its_way_is_refused_or_was_no_content(
    site: Site, row: Checkpoint
) -> None:
    """Anywhere in the file: what is taken is the same image, whose every digest is right."""
    content = bytearray(await exported(site, row))
    signer = checkpoint_signing.own_signer(site.deployment)

    def read() -> Arrived:
        return arrived(opened(io.BytesIO(content)), signer)

    original = bytes(content)
    whole, refused, chance = read(), 0, random.Random(41)
    places = sorted(whole.places.values(), key=lambda each: each.offset)
    insides = [chance.randrange(each.offset, each.offset + each.size) for each in places] * 3
    anywhere = chance.sample(range(len(content)), 200)
    for number, position in enumerate(insides + anywhere):
        content[position] ^= 1 << chance.randrange(8)
        try:
            found = read()
        except Refused:
            refused += 1
        else:
            assert number >= len(insides), position  # a tar's padding, or a date in it
            assert (found.about, found.config, found.layers) == (
                whole.about,
                whole.config,
                whole.layers,
            )
        content[position] = original[position]
    assert refused > len(insides)


async def test_f40_whoever_is_killed_while_it_is_taken_in_it_is_there_once_and_nothing_else(
    site: Site, row: Checkpoint
) -> None:
    content = await exported(site, row)
    left = checkpoint_imports.file_of(site.deployment, "of-an-import-that-ended")
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(content)
    await site.service.stop()
    begun = await sent(site, content)
    registry = site.deployment.state / "images/registry/process.json"
    before = registry.read_text()
    os.kill(json.loads(before)["pid"], signal.SIGKILL)
    await site.service.start()  # killed again while it looks at it, or while the registry is away
    await site.service.stop()
    while registry.read_text() == before:  # noqa: ASYNC110 - the test's own limit ends it
        await asyncio.sleep(0.02)
    await site.service.start()
    done = await settled(site, begun)
    assert done.state == Step.DONE, done.reason
    async with site.database.reading() as session:
        brought_in = select(Checkpoint).where(Checkpoint.workspace == "imported")
        assert len((await session.scalars(brought_in)).all()) == 1
    await forgotten(site)


async def test_f43_a_layer_that_rotted_is_never_exported_and_its_owner_reads_why(
    site: Site, row: Checkpoint, ada: Member
) -> None:
    """The file ends before its announced length, so that no browser takes it for whole."""
    storage = site.deployment.state / "images/registry/storage/docker/registry/v2/blobs/sha256"
    name = row.layer_digest.partition(":")[2]
    blob = storage / name[:2] / name / "data"
    rotten = bytearray(blob.read_bytes())
    rotten[len(rotten) // 2] ^= 1
    blob.write_bytes(rotten)
    async with site.database.session() as session:
        about = await checkpoint_archive.describe(session, row)
    made = await asyncio.to_thread(checkpoint_archive.archive, site.deployment, row, about)
    visit = SimpleNamespace(portal=SimpleNamespace(database=site.database), me=ada.person)
    received = 0
    with pytest.raises(Unavailable, match="damaged in the image server"):
        async for piece in _watched(visit, row, made.pieces):  # type: ignore[arg-type]
            received += len(piece)
    assert received < made.size
    async with site.database.reading() as session:
        lines = list(await session.scalars(select(Notification)))
    assert lines[-1].title == "with DESeq2 could not be exported"
    assert "damaged" in lines[-1].text
