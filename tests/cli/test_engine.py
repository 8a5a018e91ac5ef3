"""The engine that is found or started: real sockets, a real private dockerd."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from petrihub_cli.engine import (
    answers,
    ensure_engine,
    find_engine,
    free_network,
)
from petrihub_core.errors import Conflict, Unavailable, Unsupported

docker = pytest.mark.docker
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("dockerd") is None,
    reason="only root with docker.io installed may start an engine",
)

PLAY = Path(__file__).with_name("engine_play.py")


def test_a_private_bridge_keeps_clear_of_what_the_machine_uses() -> None:
    taken = [IPv4Network("10.211.0.0/23"), IPv4Network("192.168.0.0/16")]

    assert free_network(taken) == IPv4Network("10.211.2.0/24")


def test_a_machine_that_uses_all_of_ten_gets_a_network_elsewhere() -> None:
    assert free_network([IPv4Network("10.0.0.0/8")]).subnet_of(IPv4Network("172.30.0.0/16"))


def test_no_network_left_is_said_in_words() -> None:
    with pytest.raises(Conflict, match="private networks") as refused:
        free_network([IPv4Network("0.0.0.0/0")])
    assert refused.value.hint


async def test_what_is_not_an_engine_does_not_answer(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    deserted = tmp_path / "deserted"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(deserted))

    assert [await answers(p) for p in (tmp_path / "absent", plain, deserted)] == [False] * 3


async def test_a_named_engine_that_is_down_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No Docker engine answers at") as refused:
        await find_engine(str(tmp_path / "gone.sock"))
    assert "gone.sock" in refused.value.message


async def test_an_engine_over_the_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://198.51.100.7:2375")

    with pytest.raises(Unsupported, match=r"198\.51\.100\.7") as refused:
        await find_engine()
    assert "unix://" in refused.value.hint


async def test_a_folder_with_too_long_a_name_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("dockerd", "ip"):
        (programs / name).write_text("#!/bin/sh\nexit 99\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))

    with pytest.raises(Unavailable, match="too long a name") as refused:
        await ensure_engine(folder=tmp_path / ("x" * 100), private=True)
    assert "PETRIHUB_ENGINE_DIR" in refused.value.hint


async def test_a_machine_without_docker_is_told_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(Unavailable, match="not installed") as refused:
        await ensure_engine(folder=tmp_path / "engine", private=True)
    assert "apt-get install" in refused.value.hint


@docker
@needs_root
@pytest.mark.timeout(600)
async def test_a_private_engine_is_started_once_outlives_its_callers_and_keeps_its_images(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("e") / "e"  # a short name: it holds sockets
    # in a network of its own: a second engine rewrites the packet filter that the first one set
    play = await asyncio.create_subprocess_exec(
        *("unshare", "--net", sys.executable, str(PLAY), str(folder)),
        stdout=subprocess.PIPE,
    )
    said, _ = await play.communicate()
    assert play.returncode == 0
    story = json.loads(said)

    assert story["given"][0] == story["given"][1] == story["given"][2]
    assert story["given"][0][:2] == [str(folder / "engine.sock"), True]
    assert story["outlives_its_callers"]
    assert story["stopped"] == {"said": True, "runs": False, "answers": False, "bridge": False}
    assert story["image_after_restart"] == 200
    assert story["found_again"]
    assert story["stopped_twice"] == [True, False]
