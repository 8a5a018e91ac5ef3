"""What only Docker has: the hardened profile, networks, sidecars, and an engine that fails."""

import asyncio
import contextlib
import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from petrihub_core.deployment import DockerSection
from petrihub_core.errors import ConfigError
from petrihub_spawner.backends.docker_runner import DockerRunner
from petrihub_spawner.backends.networks import candidates, ensure_hub_network
from petrihub_spawner.contract import NOTED, ask, failure, started, until
from petrihub_spawner.pod.model import Container, Resources
from petrihub_spawner.stages import StartFailed

pytestmark = pytest.mark.docker


async def test_every_container_has_the_hardened_profile(docker_bench, client):
    """A50."""
    pod = docker_bench.pod("ada", "study")
    helper = Container(
        name="helper",
        image=docker_bench.image,
        command=("jupyterhub-singleuser",),
        environment={"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:9999/"},
        resources=Resources(cpu=0.5, memory_bytes=64 * 2**20, pids=32),
    )
    pod = replace(pod, sidecars=(helper,))
    address = await started(docker_bench, pod)
    found = [item for item in await docker_bench.runner.find(pod.ref) if item.kind == "container"]
    assert len(found) == 2
    for item in found:
        host = client.inspect_container(item.handle)["HostConfig"]
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert not host["Privileged"]
        assert not host["Binds"]
        assert not host["Devices"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["MemorySwap"] == host["Memory"]
        assert host["PidMode"] == ""
        assert host["IpcMode"] == "private"
        assert host["NetworkMode"] != "host"
        assert host["RestartPolicy"]["Name"] in ("", "no")
        assert host["LogConfig"]["Config"]["max-size"] == "10m"
    status = dict(
        line.split(":\t") for line in (await ask(address, "status")).splitlines() if ":\t" in line
    )
    assert status["Uid"].split() == ["1000"] * 4
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"

    # one network namespace: a helper on loopback is reached from the main container, and only so
    async def reached() -> bool:
        return await ask(address, "connect", host="127.0.0.1", port=9999) == "reached"

    await until(reached)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(address.host, 9999)


async def test_six_at_once_get_networks_of_their_own(docker_bench, client):
    pods = [docker_bench.pod("ada", f"w{number}") for number in range(6)]
    addresses = await asyncio.gather(*(started(docker_bench, pod) for pod in pods))
    assert len(set(addresses)) == 6
    subnets = {client.inspect_network(pod.name)["IPAM"]["Config"][0]["Subnet"] for pod in pods}
    assert len(subnets) == 6
    assert all(subnet.endswith("/28") for subnet in subnets)


async def test_a_volume_bears_its_owner_and_survives(docker_bench, client):
    pod = docker_bench.pod("ada", "study")
    await started(docker_bench, pod)
    await docker_bench.runner.stop(pod.ref, grace=1, journal=NOTED)
    labels = client.inspect_volume(pod.volumes[0].external)["Labels"]
    assert labels["org.petrihub.person"] == "ada"
    assert "org.petrihub.intent" not in labels


async def test_an_image_that_is_gone_is_named(docker_bench):
    pod = docker_bench.pod("ada", "study")
    pod = replace(pod, main=replace(pod.main, image="sha256:" + "0" * 64))
    error = await failure(docker_bench, pod)
    assert error.stage == "preparing"
    assert "image" in error.message
    assert "petrihub images build" in error.hint
    assert await docker_bench.runner.find(pod.ref) == []


async def test_a_program_that_is_not_in_the_image_is_named(docker_bench):
    pod = docker_bench.pod("ada", "study")
    pod = replace(pod, main=replace(pod.main, command=("no-such-program",)))
    error = await failure(docker_bench, pod)
    assert error.stage == "starting"
    assert "no-such-program" in error.message
    assert await docker_bench.runner.find(pod.ref) == []


async def test_a_container_removed_behind_our_back_is_noticed(docker_bench, client):
    """F11."""
    pod = docker_bench.pod("ada", "study")
    await started(docker_bench, pod)
    client.remove_container(pod.name, force=True)
    assert not (await docker_bench.runner.look(pod.ref)).running
    assert await started(docker_bench, docker_bench.pod("ada", "study"))


def elsewhere(deployment, socket):
    return deployment.model_copy(update={"docker": DockerSection(socket=str(socket))})


async def test_an_engine_that_is_down_is_named_and_concludes_nothing(docker_bench, tmp_path):
    runner = DockerRunner(elsewhere(docker_bench.deployment, tmp_path / "nobody.sock"))
    pod = docker_bench.pod("ada", "study")
    with pytest.raises(StartFailed, match="engine is not running") as failed:
        await runner.start(pod, NOTED)
    assert failed.value.stage == "preparing"
    assert not (await runner.look(pod.ref)).known


async def test_an_engine_that_hangs_is_named(docker_bench, tmp_path):
    async def say_nothing(reader, writer):
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(say_nothing, tmp_path / "mute.sock")
    async with server:
        runner = DockerRunner(elsewhere(docker_bench.deployment, tmp_path / "mute.sock"))
        pod = docker_bench.pod("ada", "study")
        with pytest.raises(StartFailed, match="does not answer"):
            await runner.start(pod, NOTED)
        # while it is silent, it is not asked by everybody else too
        assert not (await runner.look(pod.ref)).known


def test_the_hub_network_is_made_once_and_its_address_stays(docker_deployment, docker_bench):
    first = ensure_hub_network(docker_deployment)
    assert first == str(next(docker_deployment.docker.hub_subnet.hosts()))
    assert ensure_hub_network(docker_deployment) == first


def test_a_hub_network_that_nobody_named_is_chosen_once(
    docker_deployment, docker_bench, engine_socket
):
    pool = docker_deployment.docker.network_pool
    unnamed = DockerSection(socket=engine_socket, network_pool=pool)
    deployment = docker_deployment.model_copy(update={"docker": unnamed})
    first = ensure_hub_network(deployment)
    assert IPv4Address(first) in pool
    assert ensure_hub_network(deployment) == first


def test_a_hub_network_that_others_use_is_named(docker_deployment, docker_bench, tmp_path):
    ensure_hub_network(docker_deployment)
    other = docker_deployment.model_copy(update={"state": tmp_path / "other"})
    other.__dict__.pop("id", None)
    with pytest.raises(ConfigError, match="already used") as refused:
        ensure_hub_network(other)
    assert "hub_subnet" in refused.value.hint


def test_networks_are_tried_where_nobody_is():
    pool = IPv4Network("10.213.0.0/24")
    taken = [IPv4Network("10.213.0.0/25")]
    tried = list(candidates(pool, "a", taken))
    assert len(tried) == len(set(tried)) == 8
    assert all(subnet.subnet_of(pool) and subnet.prefixlen == 28 for subnet in tried)
    assert not any(subnet.overlaps(taken[0]) for subnet in tried)
    wide = IPv4Network("10.213.0.0/16")
    assert len({next(candidates(wide, f"workspace {number}", [])) for number in range(20)}) > 10


async def test_nothing_secret_is_in_what_a_start_leaves_behind(docker_bench):
    pod = docker_bench.pod("ada", "study", mode="broken")
    error = await failure(docker_bench, pod)
    log = await docker_bench.runner.log_tail(pod.ref)
    assert "a-token" not in json.dumps([error.message, error.hint, error.log, log])


async def test_a_flooded_log_is_bounded_on_the_disk(docker_bench, client):
    pod = docker_bench.pod("ada", "study")
    address = await started(docker_bench, pod)
    await ask(address, "flood", mib=48)
    log = Path(client.inspect_container(pod.name)["LogPath"])
    kept = sum(path.stat().st_size for path in log.parent.glob(f"{log.name}*"))
    assert 2**20 < kept < 25 * 2**20
    assert "of no use to anybody" in await docker_bench.runner.log_tail(pod.ref)
