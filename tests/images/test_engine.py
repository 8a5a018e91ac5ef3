"""The image server with a real engine: bases pushed by it, checkpoints pulled and run by it."""

import asyncio
import io
import json
import os
import re
import signal
import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import docker
import httpx
import pytest
from sqlalchemy import select

from petrihub_cli.engine import Engine
from petrihub_cli.image_server import running_image_server
from petrihub_core.checkpoint_records import BaseImage, Checkpoint, SidecarInstance
from petrihub_core.checkpoints import State
from petrihub_core.database import Database, migrate
from petrihub_core.deployment import Deployment
from petrihub_core.image_server import (
    PUSH,
    Access,
    checkpoint_reference,
    require_image_server,
)
from petrihub_images.documents import MANIFEST
from petrihub_images.registry import Registry
from petrihub_spawner.backends import engine as engine_calls
from petrihub_spawner.contract import ask, started
from petrihub_spawner.runner import Address, Silent
from petrihub_spawner.saving import as_its_base
from petrihub_spawner.stages import StartFailed

from tests.images.conftest import Answering, Member, Site, digest, require_programs
from tests.images.slow_line import slow_line
from tests.spawner.docker.conftest import (  # noqa: F401 - fixtures
    HOME,
    DockerBench,
    docker_bench,
    docker_deployment,
    engine_socket,
    stand_in_image,
)

pytestmark = pytest.mark.docker


@dataclass
class Machine:
    """An engine, an image server for it, and somebody whose workspace runs the stand-in image."""

    site: Site
    bench: DockerBench
    ada: Member
    client: docker.APIClient


async def member(site: Site, image: str) -> Member:
    made = await site.member("ada")
    async with site.database.session() as session:
        row = await session.get_one(SidecarInstance, made.instance)
        row.base_image, row.base_digest = "petrihub/stand-in", image
    return made


@pytest.fixture
async def machine(docker_bench: DockerBench) -> AsyncIterator[Machine]:  # noqa: F811
    require_programs()
    deployment: Deployment = docker_bench.deployment
    deployment.logs.mkdir(parents=True)
    await migrate(deployment.database_url)
    database = Database.open(deployment.database_url)
    socket = deployment.docker.socket
    client = docker.APIClient(base_url=f"unix://{socket}", version="auto", timeout=60)
    engine = Engine(socket=socket, started_by_us=False, pid=None)
    async with running_image_server(deployment, engine, print):
        server = require_image_server(deployment)
        async with (
            Answering(deployment, deployment.database_url, server) as service,
            httpx.AsyncClient(base_url=server.pods, trust_env=False) as asker,
        ):
            site = Site(deployment, server, database, asker, service)
            yield Machine(site, docker_bench, await member(site, docker_bench.image), client)
    for image in client.images(all=True):
        for name in image["RepoDigests"] or []:
            if name.startswith(server.engine):
                client.remove_image(name, force=True)


async def saved(machine: Machine, files: dict[str, bytes]) -> Checkpoint:
    site, ada = machine.site, machine.ada
    asked = await site.ask(ada, "with a tool")
    while (  # the base is pushed first, which takes what it takes
        answer := await site.call("GET", "/sidecar/v1/order?wait=25", ada, timeout=40)
    ).status_code == 204:
        pass
    order = answer.json()
    result = await site.save(ada, order, files)
    answer = await site.report(ada, asked.id, result)
    assert answer.status_code == 204, answer.text
    row = await site.row(asked.id)
    assert row.state == State.DONE
    return row


def pod_from(machine: Machine, manifest_digest: str):
    ada = machine.ada
    image = checkpoint_reference(machine.site.server, ada.person.id, ada.workspace, manifest_digest)
    pod = machine.bench.pod(ada.person.id, "elsewhere")
    return replace(pod, main=replace(pod.main, image=image))


async def test_what_was_saved_is_there_in_another_workspace_byte_for_byte(
    machine: Machine,
) -> None:
    tool = bytes(range(256)) * 4096
    row = await saved(machine, {"opt/tool.bin": tool, "etc/only-here": b"system-wide\n"})

    address = await started(machine.bench, pod_from(machine, row.manifest_digest))

    assert await ask(address, "status")
    found = [
        item
        for item in await machine.bench.runner.find()
        if item.kind == "container" and item.ref.workspace == "elsewhere"
    ]
    for path, content in (("/opt/tool.bin", tool), ("/etc/only-here", b"system-wide\n")):
        stream, _ = machine.client.get_archive(found[0].handle, path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            member_ = tar.extractfile(tar.getmembers()[0])
            assert member_ is not None
            assert member_.read() == content
    config = machine.client.inspect_container(found[0].handle)["Config"]
    assert config["User"] == "1000:1000"


async def test_the_base_is_pushed_once_and_leaves_no_name_on_the_engine(machine: Machine) -> None:
    first = await saved(machine, {"a": b"1"})
    async with machine.site.database.reading() as session:
        kept = (await session.scalars(select(BaseImage))).one()
    assert kept.digest == first.base_digest
    again = await saved(machine, {"a": b"2"})
    assert again.manifest_digest != first.manifest_digest
    async with machine.site.database.reading() as session:
        assert (await session.scalars(select(BaseImage))).one().asked_at == kept.asked_at
    names = [name for each in machine.client.images() for name in each["RepoTags"] or []]
    assert not [name for name in names if name.startswith(machine.site.server.engine)]


async def test_a_checkpoint_that_is_gone_is_refused_and_nothing_is_left(machine: Machine) -> None:
    await saved(machine, {"a": b"1"})
    with pytest.raises(StartFailed, match="not in the image server any more"):
        await started(machine.bench, pod_from(machine, digest(b"never saved")))
    assert await machine.bench.runner.find() == []


async def test_a_layer_that_was_damaged_is_named_and_nothing_is_left(machine: Machine) -> None:
    """F13: the same length, another content: only the engine can see it, and it does not retry."""
    row = await saved(machine, {"a": os.urandom(10_000)})
    storage = machine.site.deployment.state / "images/registry/storage/docker/registry/v2"
    name = row.layer_digest.partition(":")[2]
    blob = storage / "blobs/sha256" / name[:2] / name / "data"
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 0xFF
    blob.write_bytes(content)
    with pytest.raises(StartFailed, match="damaged"):
        await started(machine.bench, pod_from(machine, row.manifest_digest))
    assert await machine.bench.runner.find() == []


class Heard(Silent):
    """What a start says of what comes."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.done = 0

    async def moved(self, words: str, done: int, total: int) -> None:
        self.words.append(words)
        self.done = done


async def test_a_fetch_on_a_slow_line_is_told_can_be_given_up_and_ends_when_it_stands_still(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F14: cancelled within 5 s, and the engine keeps nothing of what had come."""
    row = await saved(machine, {"a": os.urandom(12 * 2**20)})
    pod = pod_from(machine, row.manifest_digest)
    folder = Path(machine.client.info()["DockerRootDir"]) / "tmp"

    def parts() -> set[Path]:
        return set(folder.glob("GetImageBlob*"))

    before = parts()
    front = int(machine.site.server.engine.rpartition(":")[2])
    async with slow_line(front) as line:
        reference = pod.main.image.replace(machine.site.server.engine, f"127.0.0.1:{line.port}")
        slow = replace(pod, main=replace(pod.main, image=reference))

        async def begun() -> tuple[asyncio.Task[Address], Heard, set[Path]]:
            heard = Heard()
            start = asyncio.create_task(machine.bench.runner.start(slow, heard))
            while not heard.done:  # in pieces: of what comes at once the engine may tell nothing
                assert not start.done(), start
                if line.stands:
                    await line.let(2**18)
                await asyncio.sleep(0.05)
            return start, heard, parts() - before

        async def gone(some: set[Path]) -> None:
            while some & parts():  # noqa: ASYNC110 - the engine tells nobody
                await asyncio.sleep(0.05)

        start, heard, some = await begun()
        assert re.fullmatch(r"Fetching the checkpoint: \d of 13 MB", heard.words[-1])
        assert some
        start.cancel()
        async with asyncio.timeout(5):  # the promise
            with pytest.raises(asyncio.CancelledError):
                await start
            await gone(some)
        assert await machine.bench.runner.find() == []

        monkeypatch.setattr(engine_calls, "PULL_WITHIN", 6)
        start, _, some = await begun()
        with pytest.raises(StartFailed, match="Nothing more of it came for 6 seconds"):
            await start
        await gone(some)
        monkeypatch.undo()

        start, heard, _ = await begun()
        await line.let(float("inf"))
        assert await ask(await start, "status")
        assert heard.words[-1] == "Unpacking the checkpoint: 13 of 13 MB"
    machine.client.remove_container(pod.name, force=True, v=True)
    machine.client.remove_image(reference, force=True)


async def test_a_manipulated_checkpoint_gains_nothing(machine: Machine) -> None:
    """A checkpoint whose configuration was changed in the registry's storage, behind our backs, is
    started as its base is: by our user, our command, in our folder, with our environment.
    """
    row = await saved(machine, {"opt/evil": b"x"})
    site, repository = machine.site, machine.ada.repository
    _, manifest = await Registry(site.deployment, site.server.registry).manifest(
        repository, row.manifest_digest
    )
    registry = Registry(site.deployment, site.server.registry)
    config = await registry.document(repository, manifest["config"]["digest"])
    config["config"] |= {
        "User": "0:0",
        "Entrypoint": ["/opt/evil"],
        "Cmd": ["/opt/evil"],
        "WorkingDir": "/root",
        "Env": [*config["config"]["Env"], "LD_PRELOAD=/opt/evil", "PATH=/opt"],
        "StopSignal": "SIGUSR1",
        "Healthcheck": {"Test": ["CMD", "/opt/evil"], "Interval": 10**9},
    }
    packed = json.dumps(config).encode()
    token = site.hub_token(Access(repository, PUSH))
    url = site.server.loopback
    assert (await site.push_blob(repository, token, packed, url=url)).status_code == 201
    manifest["config"] |= {"digest": digest(packed), "size": len(packed)}
    content = json.dumps(manifest).encode()
    answer = await site.call(
        "PUT",
        f"{url}/v2/{repository}/manifests/{digest(content)}",
        token,
        content=content,
        headers={"Content-Type": MANIFEST},
    )
    assert answer.status_code == 201, answer.text
    async with site.database.reading() as session:
        started_as = (await session.get_one(BaseImage, row.base_digest)).started_as
    pod = pod_from(machine, digest(content))
    pod = replace(pod, main=as_its_base(pod.main, row, {row.base_digest: started_as}))

    address = await started(machine.bench, pod)

    assert "LD_PRELOAD" not in await ask(address, "environment")
    assert (await ask(address, "environment"))["PATH"] == "/usr/bin"
    seen = machine.client.inspect_container(pod.name)["Config"]
    assert seen["User"] == "1000:1000"
    assert not seen["Entrypoint"]
    assert seen["Cmd"] == ["jupyterhub-singleuser"]
    assert seen["WorkingDir"] == HOME
    assert seen["StopSignal"] == "SIGTERM"
    assert seen["Healthcheck"]["Test"] == ["NONE"]


async def test_a_pod_reaches_the_front_and_nothing_behind_it(machine: Machine) -> None:
    address = await started(machine.bench, machine.bench.pod(machine.ada.person.id, "study"))
    server = machine.site.server
    gateway, _, port = server.pods.removeprefix("http://").rpartition(":")
    assert await ask(address, "connect", host=gateway, port=int(port)) == "reached"
    for url in (server.registry, server.service):
        port = url.rpartition(":")[2]
        assert await ask(address, "connect", host=gateway, port=int(port)) != "reached"
        assert await ask(address, "connect", host="127.0.0.1", port=int(port)) != "reached"


async def test_the_registry_is_back_after_it_was_killed(machine: Machine) -> None:
    row = await saved(machine, {"a": b"1"})
    record = machine.site.deployment.state / "images" / "registry" / "process.json"
    before = record.read_text()
    pid = int(before.partition('"pid": ')[2].partition(",")[0])
    os.kill(pid, signal.SIGKILL)
    while record.read_text() == before:  # noqa: ASYNC110
        await asyncio.sleep(0.05)  # ends with the test's own limit if it stays
    token = await machine.site.token(machine.ada, "pull")
    answer = await machine.site.pull(machine.ada.repository, row.manifest_digest, token)
    assert answer.status_code == 200
