"""The checkpointer on a real engine: its own image, in a pod, saving what the person did there."""
# ruff: noqa: F811 - fixtures of the Docker tests are imported

import asyncio
import json
import sys
import threading
from dataclasses import replace
from pathlib import Path

import docker
import httpx
import pytest
from rich.console import Console

from petrihub_cli.engine import ensure_engine
from petrihub_cli.images.build import build_images
from petrihub_cli.images.recipe import find_source
from petrihub_core.image_server import ImageServer
from petrihub_core.records import WorkspaceImage
from petrihub_core.tools import SIDECARS_IMAGE
from petrihub_spawner.backends.networks import ensure_hub_network
from petrihub_spawner.compile.docker import container_name
from petrihub_spawner.contract import started, until
from petrihub_spawner.saving import CREDENTIAL_VARIABLE, checkpointers

from tests.cli.test_images_built import _ca_bundle
from tests.sidecars.desk import CREDENTIAL, Desk, order
from tests.sidecars.registries import registry
from tests.spawner.docker.conftest import (  # noqa: F401 - fixtures
    docker_bench,
    docker_deployment,
    engine_socket,
    stand_in_image,
)

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]

PYTHON = f"{sys.base_prefix}/bin/python{sys.version_info[0]}.{sys.version_info[1]}"

INSIDE = Path(__file__).with_name("inside.py").read_text()


@pytest.fixture(scope="module")
def client(engine_socket):
    return docker.APIClient(base_url=f"unix://{engine_socket}", version="auto", timeout=180)


@pytest.fixture(scope="module")
def sidecars(engine_socket):
    """The real image of the helpers, built where it is not up to date."""

    async def build():
        engine = await ensure_engine(private=True)
        console = Console(stderr=True)
        return await build_images(
            None, engine=engine, names=["sidecars"], ca_bundle=_ca_bundle(), console=console
        )

    return asyncio.run(build())[-1].digest


@pytest.fixture(scope="module")
def recorded(client, stand_in_image):
    """The stand-in's image with some files to work on, and its manifest."""
    made = client.create_container(
        stand_in_image,
        command=[PYTHON, "-B", "-c", INSIDE, "prepare"],
        user="0",
        environment={"PYTHONPATH": "/mnt/record"},
        host_config=client.create_host_config(
            binds=[f"{find_source().images / 'sidecars'}:/mnt/record:ro"]
        ),
    )["Id"]
    client.start(made)
    assert client.wait(made)["StatusCode"] == 0, client.logs(made)
    kept = client.commit(made, repository="petrihub/stand-in-recorded", tag="test")["Id"]
    client.remove_container(made)
    yield kept
    client.remove_image(kept, force=True)


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.close()


@pytest.fixture
def pod(docker_bench, recorded, sidecars, desk):
    gateway = ensure_hub_network(docker_bench.deployment)
    server = ImageServer(engine="", pods=f"http://{gateway}:{desk.port}", registry="", service="")
    image = WorkspaceImage(name=SIDECARS_IMAGE, digest=sidecars, size_bytes=1, apps=[], labels={})
    (helper,) = checkpointers(server, {SIDECARS_IMAGE: image})
    helper = replace(helper, secrets={CREDENTIAL_VARIABLE: CREDENTIAL})
    pod = docker_bench.pod("ada", "study")
    return replace(pod, main=replace(pod.main, image=recorded), sidecars=(helper,))


def run_in(client, container: str, word: str, user: str = "1000") -> str:
    """What this part of inside.py prints in the container."""
    asked = client.exec_create(container, [PYTHON, "-B", "-c", INSIDE, word], user=user)["Id"]
    said = client.exec_start(asked).decode()
    assert client.exec_inspect(asked)["ExitCode"] == 0, said
    return said


def push_image(client, image: str, address: str) -> tuple[dict, dict]:
    """The image pushed by the engine into the workspace's repository; manifest and config."""
    where = f"{address}/checkpoints/p/w"
    client.tag(image, where, tag="base")
    for line in client.push(where, tag="base", stream=True, decode=True):
        assert "error" not in line, line
    client.remove_image(f"{where}:base")
    with httpx.Client(base_url=f"http://{where.replace('/', '/v2/', 1)}", trust_env=False) as ask:
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        manifest = ask.get("manifests/base", headers={"Accept": kind}).raise_for_status().json()
        config = ask.get(f"blobs/{manifest['config']['digest']}").raise_for_status().json()
    return manifest, config


async def test_what_was_done_in_a_pod_runs_elsewhere_byte_for_byte(
    docker_bench,
    pod,
    client,
    desk,
    recorded,
    tmp_path,
):
    await started(docker_bench, pod)
    run_in(client, pod.name, "work")
    # whoever ends the helper only has to wait until the engine has started it again
    assert json.loads(run_in(client, pod.name, "end"))
    with registry(tmp_path / "registry", "0.0.0.0") as url:
        port = url.rpartition(":")[2]
        base = await asyncio.to_thread(push_image, client, recorded, f"127.0.0.1:{port}")
        gateway = ensure_hub_network(docker_bench.deployment)
        desk.orders.put(order("save", f"http://{gateway}:{port}", base))
        result = await asyncio.to_thread(desk.results.get, timeout=120)
        assert result["state"] == "done", result
        paths = {change["path"] for change in result["changes"]}
        assert not any(path.startswith(("/home", "/tmp", "/run")) for path in paths)
        assert "/opt/data/old" in paths
        before = json.loads(run_in(client, pod.name, "inventory", user="0"))
        image = f"127.0.0.1:{port}/checkpoints/p/w@{result['manifest_digest']}"
        client.pull(image)
        there = client.create_container(
            image, command=[PYTHON, "-B", "-c", INSIDE, "inventory"], user="0"
        )["Id"]
        client.start(there)
        assert client.wait(there)["StatusCode"] == 0
        after = json.loads(client.logs(there, stderr=False))
        client.remove_container(there)
        client.remove_image(image, force=True)
    different = {
        bytes.fromhex(path): (before.get(path), after.get(path))
        for path in before.keys() | after.keys()
        if before.get(path) != after.get(path)
    }
    assert different == {}
    assert len(before) > 500


async def test_nobody_in_the_workspace_can_look_into_the_helper(
    docker_bench,
    pod,
    client,
):
    """Not while it works, and not in the moment in which it starts."""
    await started(docker_bench, pod)
    helper = container_name(pod, pod.sidecars[0])
    told: list[str] = []
    spy = threading.Thread(target=lambda: told.append(run_in(client, pod.name, "spy")))
    spy.start()
    while spy.is_alive() and not told:
        await asyncio.to_thread(client.restart, helper, 0)
    spy.join()
    seen, got = json.loads(told[0])
    assert seen >= 300
    assert CREDENTIAL not in json.dumps(got)
    # a process that is ending has nothing any more, and that may be read
    assert [each for each in got if "petrihub_sidecars" in each[0] and each[2]] == []

    async def ready() -> bool:
        return b"checkpointer: ready" in await asyncio.to_thread(client.logs, helper)

    await until(ready)  # the last restart may have come before it was
    assert CREDENTIAL not in client.logs(helper).decode()
