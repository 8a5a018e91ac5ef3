"""The same pods, compiled both ways, against the golden files beside this test.

After a wanted change: PETRIHUB_WRITE_GOLDEN=1 pytest tests/spawner/test_compile.py, and read the
difference as a reviewer would.
"""

import dataclasses
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from petrihub_core.errors import ConfigError, Unsupported
from petrihub_core.places import Kind, Place
from petrihub_spawner.compile.docker import docker_calls
from petrihub_spawner.compile.processes import process
from petrihub_spawner.placing import placed
from petrihub_spawner.pod.checks import check
from petrihub_spawner.pod.codec import decode, encode, without_secrets
from petrihub_spawner.pod.model import (
    Container,
    Door,
    Mount,
    PodRef,
    Remote,
    Resources,
    Volume,
    WorkspacePod,
)

GOLDEN = Path(__file__).with_name("golden")

STUDIO = WorkspacePod(
    ref=PodRef(deployment="d3p10ym3nt", person="p3rs0n", workspace="study"),
    intent="1n73n7",
    main=Container(
        name="main",
        image="sha256:0123456789abcdef",
        command=("jupyterhub-singleuser",),
        environment={
            "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/ada/study/",
            "PETRIHUB_APPS": "[]",
        },
        secrets={"JUPYTERHUB_API_TOKEN": "not-a-real-token"},
        mounts=(Mount(volume="home", path="/home/researcher"),),
        resources=Resources(cpu=1.5, memory_bytes=2 * 2**30, pids=1024),
        working_dir="/home/researcher",
    ),
    door=Door(port=8888, ready_path="/user/ada/study/api"),
    volumes=(Volume(name="home", external="home-d3p10ym3nt-p3rs0n-aaaaaaaaaaaa"),),
    start_timeout=180,
    stop_grace=10,
)
WITH_SIDECAR = replace(
    STUDIO,
    ref=replace(STUDIO.ref, workspace="shared"),
    sidecars=(
        Container(
            name="storage",
            image="sha256:fedcba9876543210",
            command=("storage-helper", "--read-only"),
            mounts=(Mount(volume="home", path="/home/researcher", read_only=True),),
            resources=Resources(cpu=0.25, memory_bytes=128 * 2**20, pids=64),
        ),
        Container(
            name="checkpointer",
            image="sha256:fedcba9876543210",
            entrypoint=("/opt/guarded", "-m", "sidecars"),
            command=("checkpointer",),
            secrets={"PETRIHUB_SIDECAR_CREDENTIAL": "not-a-real-one"},
            resources=Resources(cpu=2, memory_bytes=512 * 2**20, pids=64),
            shares_processes=True,
        ),
    ),
)

PLACES = (
    Place(kind=Kind.SHARED, subject="9r0up", path="/mnt/shared/imaging", name="imaging"),
    Place(kind=Kind.PUBLIC, subject="", path="/mnt/public", read_only=True),
)

GATED = replace(
    STUDIO,
    ref=replace(STUDIO.ref, workspace="viewer"),
    main=Container(
        name="main",
        image="sha256:00ff00ff00ff00ff",
        command=("viewer", "--port", "5005"),
        mounts=(Mount(volume="home", path="/home/researcher"),),
        resources=Resources(cpu=1, memory_bytes=2 * 2**30, pids=1024),
        restarts=3,
    ),
    sidecars=(
        Container(
            name="gate",
            image="sha256:fedcba9876543210",
            command=("gate",),
            environment={"JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/ada/viewer/"},
            secrets={"JUPYTERHUB_API_TOKEN": "not-a-real-token"},
            resources=Resources(cpu=1, memory_bytes=256 * 2**20, pids=64),
        ),
    ),
    door=Door(port=8888, ready_path="/petrihub-gate/health", keeper="gate", proof="n0t-r3al"),
)


MEMBER = replace(
    STUDIO,
    ref=replace(STUDIO.ref, workspace="member"),
    volumes=placed(STUDIO.ref, "/home/researcher", PLACES)[0],
    main=replace(STUDIO.main, mounts=placed(STUDIO.ref, "/home/researcher", PLACES)[1]),
)


ON_SFTP = Remote(
    kind="sftp", host="files.example.org", port=2022, account="h-p3rs0n", host_key="ssh-ed25519 A"
)
REMOTE = replace(
    STUDIO,
    ref=replace(STUDIO.ref, workspace="elsewhere"),
    sidecars=(
        Container(
            name="storage",
            image="sha256:fedcba9876543210",
            command=("mounts",),
            environment={"PETRIHUB_MOUNTS": "[]"},
            secrets={"PETRIHUB_STORAGE_KEY": "not-a-real-key"},
            resources=Resources(cpu=2, memory_bytes=512 * 2**20, pids=256),
            carries=True,
            restarts=5,
        ),
    ),
    volumes=(replace(STUDIO.volumes[0], remote=ON_SFTP),),
)


def same_as_golden(name: str, compiled: object) -> None:
    path = GOLDEN / f"{name}.json"
    text = json.dumps(dataclasses.asdict(compiled), indent=2, default=str) + "\n"
    if os.environ.get("PETRIHUB_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_a_studio_as_process():
    same_as_golden("studio.process", process(STUDIO))


def test_a_studio_on_docker():
    same_as_golden("studio.docker", docker_calls(STUDIO))


def test_a_pod_with_a_sidecar_on_docker():
    same_as_golden("sidecar.docker", docker_calls(WITH_SIDECAR))


def test_a_tool_behind_its_gate_on_docker():
    same_as_golden("gated.docker", docker_calls(GATED))


def test_a_studio_of_a_member_of_a_group_on_docker():
    same_as_golden("member.docker", docker_calls(MEMBER))


def test_a_pod_whose_files_are_elsewhere_on_docker():
    same_as_golden("remote.docker", docker_calls(REMOTE, "/srv/docker"))


def test_a50_only_the_helper_that_mounts_may_mount():
    """A50: one container of all may anything, and that is to mount; nobody else sees its key."""
    calls = docker_calls(REMOTE)
    assert calls.carrier is not None
    bodies = [calls.carrier, *calls.containers, *docker_calls(GATED).containers]
    rights = {name: body["HostConfig"]["CapAdd"] for name, body in bodies}
    assert {name for name in rights if rights[name]} == {calls.carrier[0]}
    for _, body in bodies[1:]:
        assert body["User"] == "1000:1000"
        assert not body["HostConfig"]["Devices"]
        assert "PETRIHUB_STORAGE_KEY" not in str(body)
    assert all(body["HostConfig"]["CapDrop"] == ["ALL"] for _, body in bodies)


def test_remote_volumes_need_the_helper_that_mounts_them():
    with pytest.raises(ConfigError, match="no helper to mount"):
        check(replace(REMOTE, sidecars=()))


def test_a_remote_pod_is_encoded_and_decoded():
    assert decode(encode(REMOTE)) == without_secrets(REMOTE)


def test_the_gate_keeps_the_network_and_alone_has_the_token():
    (first, gate), (_, tool) = docker_calls(GATED).containers
    assert gate["HostConfig"]["NetworkMode"] == GATED.name
    assert tool["HostConfig"]["NetworkMode"] == f"container:{first}"
    assert "JUPYTERHUB_API_TOKEN=not-a-real-token" in gate["Env"]
    assert not [each for each in tool["Env"] if each.startswith(("JUPYTERHUB", "JPY"))]


def test_a_pod_with_a_sidecar_is_refused_as_process():
    with pytest.raises(Unsupported, match="needs containers"):
        process(WITH_SIDECAR)


def test_compiling_changes_nothing_and_gives_the_same_again():
    assert docker_calls(WITH_SIDECAR) == docker_calls(WITH_SIDECAR)


@pytest.mark.parametrize("pod", [WITH_SIDECAR, GATED], ids=["sidecar", "gated"])
def test_every_container_gets_the_hardened_profile(pod):
    for _, body in docker_calls(pod).containers:
        host = body["HostConfig"]
        assert body["User"] == "1000:1000"
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["Privileged"] is False
        assert host["MemorySwap"] == host["Memory"] > 0
        assert host["PidsLimit"] > 0
        assert host["CpuQuota"] > 0
        assert host["OomScoreAdj"] > 0
        assert host["Binds"] == host["Devices"] == []
        assert all(mount["Type"] == "volume" for mount in host["Mounts"])
        assert "docker.sock" not in json.dumps(body)


def test_a_sidecar_lives_in_the_network_of_the_main_container():
    (main_name, main), (side_name, side), _ = docker_calls(WITH_SIDECAR).containers
    assert main["HostConfig"]["NetworkMode"] == main_name == WITH_SIDECAR.name
    assert side["HostConfig"]["NetworkMode"] == f"container:{main_name}"
    assert side_name != main_name


def test_only_a_sidecar_that_asks_sees_the_processes_of_the_main_container():
    (main_name, main), (_, storage), (_, checkpointer) = docker_calls(WITH_SIDECAR).containers
    assert checkpointer["HostConfig"]["PidMode"] == f"container:{main_name}"
    assert main["HostConfig"]["PidMode"] == storage["HostConfig"]["PidMode"] == ""
