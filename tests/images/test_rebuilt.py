"""A checkpoint on an image that was really built anew: saved, moved and run by a real engine."""
# ruff: noqa: F811 - fixtures of the Docker tests are imported

import asyncio
import io
import json
import sys
import tarfile
from dataclasses import replace

import docker
import pytest

from petrihub_cli.images.recipe import find_source
from petrihub_core import checkpoint_moves
from petrihub_core.checkpoint_moves import Step
from petrihub_core.checkpoint_records import Checkpoint, SidecarInstance
from petrihub_core.checkpoints import OPEN, State
from petrihub_core.image_server import checkpoint_reference
from petrihub_core.images import register_image
from petrihub_core.records import WorkspaceImage
from petrihub_core.tools import SIDECARS_IMAGE
from petrihub_spawner.contract import started
from petrihub_spawner.saving import CREDENTIAL_VARIABLE, checkpointers

from tests.images.test_engine import (  # noqa: F401 - fixtures
    Machine,
    docker_bench,
    docker_deployment,
    engine_socket,
    machine,
    stand_in_image,
)
from tests.images.test_moving import confirmed, settled
from tests.sidecars.test_checkpointer_engine import client, sidecars  # noqa: F401 - fixtures

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

NAME = "petrihub/rebuilt"
PYTHON = f"{sys.base_prefix}/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
RECIPE = f"""
FROM {{base}}
COPY petrihub_sidecars /tmp/record/petrihub_sidecars
RUN ["{PYTHON}", "-B", "-c", {{script}}]
"""
BUILD = """
import os, runpy, shutil, sys
for name, text in {files}.items():
    os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "w") as file:
        file.write(text)
for folder, _, names in os.walk("/opt"):
    for path in (folder, *(os.path.join(folder, name) for name in names)):
        os.chown(path, 1000, 1000)
sys.path.insert(0, "/tmp/record")
sys.argv = ["record"]
runpy.run_module("petrihub_sidecars.checkpointer.record", run_name="__main__")
shutil.rmtree("/tmp/record")
"""
WORK = """
import os, shutil
for name, text in {files}.items():
    os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "w") as file:
        file.write(text)
os.unlink("/opt/unwanted")
shutil.rmtree("/opt/dropped")
"""
SEEN = """
import json, os
found = {}
for folder, _, names in os.walk("/opt"):
    for name in names:
        with open(os.path.join(folder, name)) as file:
            found[os.path.join(folder, name)] = file.read()
print(json.dumps(found))
"""

# "updated" is a package that the new image has in another version, "removed" one that it has not
OLD = {
    "/opt/both": "old",
    "/opt/theirs": "old",
    "/opt/mine": "old",
    "/opt/unwanted": "old",
    "/opt/dropped/a": "old",
    "/opt/updated/code": "1.0",
    "/opt/updated/METADATA": "1.0",
    "/opt/removed/code": "1.0",
    "/opt/removed/METADATA": "1.0",
}
NEW = {
    "/opt/both": "new",
    "/opt/theirs": "new",
    "/opt/mine": "old",
    "/opt/unwanted": "old",
    "/opt/dropped/a": "new",
    "/opt/updated/code": "2.0",
    "/opt/updated/METADATA": "2.0",
    "/opt/fresh": "new",
}
CHANGED = {
    "/opt/both": "ada",
    "/opt/mine": "ada",
    "/opt/removed/code": "patched by ada",
    "/opt/only/hers": "ada",
}


def built(client: docker.APIClient, base: str, files: dict[str, str]) -> str:
    """An image of these files, with the list of all that is in it, as ours are built; its id."""
    script = json.dumps(BUILD.format(files=files))
    recipe = RECIPE.format(base=base, script=script).encode()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(recipe)
        tar.addfile(entry, io.BytesIO(recipe))
        package = find_source().images / "sidecars/petrihub_sidecars"
        tar.add(
            package,
            "petrihub_sidecars",
            filter=lambda each: None if each.name.endswith("__pycache__") else each,
        )
    context.seek(0)
    said = list(client.build(fileobj=context, custom_context=True, tag=NAME, rm=True, decode=True))
    assert not [line for line in said if "error" in line], said[-3:]
    return str(client.inspect_image(NAME)["Id"])


def run(client: docker.APIClient, container: str, script: str) -> str:
    asked = client.exec_create(container, [PYTHON, "-B", "-c", script], user="1000")["Id"]
    said = client.exec_start(asked).decode()
    assert client.exec_inspect(asked)["ExitCode"] == 0, said
    return said


async def allowed(machine: Machine, digest: str) -> None:
    async with machine.site.database.session() as session:
        await register_image(session, name=NAME, digest=digest, size_bytes=1, apps=[], labels={})


async def saved(machine: Machine) -> Checkpoint:
    """What she changed, saved by the real helper beside her workspace."""
    asked = await machine.site.ask(machine.ada, "hers")
    while (row := await machine.site.row(asked.id)).state in OPEN:  # noqa: ASYNC110 - the test's own limit ends it
        await asyncio.sleep(0.1)
    assert row.state == State.DONE, row.reason
    return row


async def inside(machine: Machine, image: str) -> dict[str, str]:
    """What a workspace of this image has, where people install."""
    pod = machine.bench.pod(machine.ada.person.id, "restored")
    pod = replace(pod, main=replace(pod.main, image=image))
    await started(machine.bench, pod)
    found: dict[str, str] = json.loads(await asyncio.to_thread(run, machine.client, pod.name, SEEN))
    mine = [each for each in await machine.bench.runner.find() if each.ref == pod.ref]
    await machine.bench.runner.remove(mine, grace=0)
    return found


@pytest.fixture
def images(client: docker.APIClient, stand_in_image: str):
    """The profile's image, and the same as it was built anew."""
    made = [built(client, stand_in_image, files) for files in (OLD, NEW)]
    yield made
    for each in made:
        client.remove_image(each, force=True)


async def test_what_was_saved_on_the_old_image_is_moved_onto_the_one_that_was_built_anew(
    images: list[str], machine: Machine, sidecars: str
) -> None:
    old, new = images
    site, ada = machine.site, machine.ada
    async with site.database.session() as session:
        row = await session.get_one(SidecarInstance, ada.instance)
        row.base_image, row.base_digest = NAME, old
    await allowed(machine, old)
    helpers = WorkspaceImage(name=SIDECARS_IMAGE, digest=sidecars, size_bytes=1)
    (helper,) = checkpointers(site.server, {SIDECARS_IMAGE: helpers})
    helper = replace(helper, secrets={CREDENTIAL_VARIABLE: ada.credential})
    pod = machine.bench.pod(ada.person.id, ada.workspace)
    pod = replace(pod, main=replace(pod.main, image=old), sidecars=(helper,))
    await started(machine.bench, pod)
    await asyncio.to_thread(run, machine.client, pod.name, WORK.format(files=CHANGED))
    first = await saved(machine)

    await allowed(machine, new)
    async with site.database.session() as session:
        move = await checkpoint_moves.ask(session, "ada", ada.person, first.id)
    move = await settled(site, move.id)
    assert move.state == Step.CONFIRM, move.reason
    assert sorted((each["path"], each["kind"], each["base"]) for each in move.conflicts) == [
        ("/opt/both", "changed", "changed"),
        ("/opt/dropped", "deleted", "changed"),
        ("/opt/removed/code", "changed", "deleted"),
    ]
    await confirmed(site, ada, first)
    assert (await settled(site, move.id)).state == Step.DONE
    second = await site.row(move.result_id)
    assert (second.base_digest, second.layer_digest) == (new, first.layer_digest)

    def reference(row: Checkpoint) -> str:
        return checkpoint_reference(site.server, row.owner, row.workspace, row.manifest_digest)

    deleted = {"/opt/unwanted", "/opt/dropped/a"}
    for row, below in ((first, OLD), (second, NEW)):
        expected = {name: text for name, text in below.items() if name not in deleted} | CHANGED
        assert await inside(machine, reference(row)) == expected
