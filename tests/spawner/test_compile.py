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

from petrihub_core.errors import Unsupported
from petrihub_spawner.compile.docker import docker_calls
from petrihub_spawner.compile.processes import process
from petrihub_spawner.pod.model import (
    Container,
    Door,
    Mount,
    PodRef,
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
    ),
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


def test_a_pod_with_a_sidecar_is_refused_as_process():
    with pytest.raises(Unsupported, match="needs containers"):
        process(WITH_SIDECAR)


def test_compiling_changes_nothing_and_gives_the_same_again():
    assert docker_calls(WITH_SIDECAR) == docker_calls(WITH_SIDECAR)


def test_every_container_gets_the_hardened_profile():
    for _, body in docker_calls(WITH_SIDECAR).containers:
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
    (main_name, main), (side_name, side) = docker_calls(WITH_SIDECAR).containers
    assert main["HostConfig"]["NetworkMode"] == main_name == WITH_SIDECAR.name
    assert side["HostConfig"]["NetworkMode"] == f"container:{main_name}"
    assert side_name != main_name
