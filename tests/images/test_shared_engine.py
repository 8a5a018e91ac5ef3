"""What is shared, moved or brought in, pulled and run by a real engine."""

import io
import tarfile
from dataclasses import replace

import pytest

from petrihub_core import checkpoint_imports
from petrihub_core.checkpoint_imports import Step
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoint_sharing import require_startable
from petrihub_core.errors import NotAllowed
from petrihub_core.image_server import checkpoint_reference
from petrihub_core.people import person_for
from petrihub_core.records import Person
from petrihub_spawner.contract import ask, started

from tests.images.test_archives import brought, exported
from tests.images.test_engine import (  # noqa: F401 - fixtures
    Machine,
    docker_bench,
    docker_deployment,
    engine_socket,
    machine,
    saved,
    stand_in_image,
)
from tests.images.test_shares import end, share

pytestmark = pytest.mark.docker


def pod_of(machine: Machine, person: Person, row: Checkpoint):  # noqa: F811
    """A workspace of this person from somebody's checkpoint."""
    server = machine.site.server
    image = checkpoint_reference(server, row.owner, row.workspace, row.manifest_digest)
    pod = machine.bench.pod(person.id, "theirs")
    return replace(pod, main=replace(pod.main, image=image))


async def inside(machine: Machine, person: Person, path: str) -> bytes:  # noqa: F811
    found = [
        each
        for each in await machine.bench.runner.find()
        if each.kind == "container" and each.ref.person == person.id
    ]
    stream, _ = machine.client.get_archive(found[0].handle, path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        file = tar.extractfile(tar.getmembers()[0])
        assert file is not None
        return file.read()


async def test_another_person_starts_from_what_is_shared_and_not_after_it_was_revoked(
    machine: Machine,  # noqa: F811
) -> None:
    tool = bytes(range(256)) * 512
    row = await saved(machine, {"opt/tool.bin": tool})
    eve = await machine.site.member("eve")
    made = await share(machine.site, row, eve)
    async with machine.site.database.reading() as session:
        await require_startable(session, eve.person.id, row)
    address = await started(machine.bench, pod_of(machine, eve.person, row))
    assert await ask(address, "status")
    assert await inside(machine, eve.person, "/opt/tool.bin") == tool
    await end(machine.site, made)
    async with machine.site.database.reading() as session:
        with pytest.raises(NotAllowed, match="not shared with you any more"):
            await require_startable(session, eve.person.id, row)


async def test_what_was_exported_and_brought_in_runs(machine: Machine) -> None:  # noqa: F811
    """The layers of a real image's base go through the archive and are pulled again."""
    site = machine.site
    row = await saved(machine, {"opt/tool.bin": b"brought"})
    async with site.database.session() as session:
        kept = await session.get_one(Checkpoint, row.id)
        kept.base_image = site.deployment.profiles[0].image
    content = await exported(site, kept)
    done = await brought(site, content, part=checkpoint_imports.PART)
    assert done.state == Step.DONE, done.reason
    made = await site.row(done.result_id)
    async with site.database.session() as session:
        bob = await person_for(session, "local", "bob", username="bob")
    address = await started(machine.bench, pod_of(machine, bob, made))
    assert await ask(address, "status")
    assert await inside(machine, bob, "/opt/tool.bin") == b"brought"
