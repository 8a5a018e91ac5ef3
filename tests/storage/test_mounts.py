"""A workspace whose files are elsewhere, on a real engine: its helper, its mounts, their faults."""
# ruff: noqa: F811 - fixtures of the Docker tests are imported

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import psutil
import pytest
from rich.console import Console
from sqlalchemy import select

from petrihub_cli.engine import ensure_engine
from petrihub_cli.images.build import build_images
from petrihub_core.carriers import S3Section, StorageSection
from petrihub_core.database import migrate
from petrihub_core.deployment import Deployment
from petrihub_core.images import register_image
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.places import Kind
from petrihub_core.records import Person, now
from petrihub_core.storage_records import StorageUsage
from petrihub_core.tools import SIDECARS_IMAGE
from petrihub_spawner.backends.docker_meter import COUNTER_LABEL
from petrihub_spawner.backends.networks import ensure_hub_network
from petrihub_spawner.carrying import KEY_VARIABLE, with_storage_key
from petrihub_spawner.counting import Counting, make_meter
from petrihub_spawner.foundation import lay
from petrihub_spawner.stages import StartFailed

from tests.cli.test_images_built import _ca_bundle
from tests.spawner.docker.conftest import (  # noqa: F401 - fixtures
    docker_bench,
    docker_deployment,
    engine_socket,
    stand_in_image,
)
from tests.storage.house import House, Tables, wait_for
from tests.storage.objects import BUCKET, ObjectStore, object_store
from tests.storage.pods import HOME, PUBLIC, TEAM, Inside, planned, remote_pod

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


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


@pytest.fixture
def house(docker_bench, tmp_path) -> Iterator[House]:
    """The file server where the workspaces reach it."""
    gateway = ensure_hub_network(docker_bench.deployment)
    made = House(tmp_path, docker_bench.deployment, address=gateway)
    with made.serving():
        yield made


@pytest.fixture
async def inside(docker_bench, house: House, tables: Tables, sidecars: str, client):
    """A running workspace of somebody in one group; stopped in order afterwards."""
    person = await tables.person()
    group = await tables.group(person)
    key = await tables.start(person, f"h-{person}", f"g-{group}", "public")
    pod = remote_pod(docker_bench.pod(person, "study"), house, sidecars, key, group)
    await docker_bench.runner.start(pod, docker_bench.silent)
    yield Inside(client, pod, key)
    if not house.process:
        house.start_file_server()
    await docker_bench.runner.stop(pod.ref, grace=1, journal=docker_bench.silent)


_AT_HOME = """
import fcntl, os, sqlite3, sys
os.chdir(sys.argv[1])
db = sqlite3.connect("a.sqlite")
db.execute("create table t(x)")
db.commit()
for name in ("new", "old"):
    with open(name, "w") as file:
        file.write(name)
os.replace("new", "old")
os.symlink("old", "link")
os.link("old", "hard")
assert (open("link").read(), open("hard").read()) == ("new", "new")
os.symlink("/etc/passwd", "away")
assert os.path.samefile("away", "/etc/passwd")
os.chmod("old", 0o700)
assert os.access("old", os.X_OK)
assert os.stat("old").st_uid == 1000
with open("t", "w+b") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    file.truncate(100_000)
    file.seek(5)
    file.write(b"x")
with open("t", "ab") as file:
    file.write(b"end")
assert os.path.getsize("t") == 100_003
"""


def home_of(house: House, inside: Inside) -> Path:
    return house.data / "homes" / inside.key.person / "files"


_READ = "import sys; open(sys.argv[1]).read()"


async def test_a41_a50_files_are_on_the_file_server(house: House, inside: Inside, client) -> None:
    """And a home is one. A41: nosuid, nodev. A50: the helper may mount, the workspace nothing."""
    (group,) = (house.data / "groups").iterdir()
    assert inside.write(f"{HOME}/paper", "words") == (0, "")
    assert inside.write(f"{TEAM}/ours", "too") == (0, "")
    assert (home_of(house, inside) / "paper").read_text() == "words"
    assert (group / "files" / "ours").read_text() == "too"
    assert inside.write(f"{PUBLIC}/mine", "no")[0] != 0
    assert {path: each["state"] for path, each in inside.states().items()} == {
        HOME: "mounted", TEAM: "mounted", PUBLIC: "mounted"
    }  # fmt: skip
    table = [line.split() for line in inside.read("/proc/self/mountinfo").splitlines()]
    for path in (HOME, TEAM, PUBLIC):
        (mine,) = [line for line in table if line[4] == path]
        assert {"nosuid", "nodev"} <= set(mine[5].split(",")), mine
    assert "CapEff:\t0000000000000000" in inside.read("/proc/self/status")
    assert KEY_VARIABLE not in inside.read("/proc/1/environ")
    assert inside.write("/mnt/.petrihub/mounts.json", "{}")[0] != 0
    inside.good(_AT_HOME, HOME)
    # what others may have made does not lead out of their folder
    (group / "files" / "away").symlink_to("/etc/passwd")
    assert "Operation not permitted" in inside.run(_READ, f"{TEAM}/away")[1]
    helper_is_hardened(inside, client)


def helper_is_hardened(inside: Inside, client) -> None:
    """What the engine made of the helper, and the rights of what runs in it."""
    made = client.inspect_container(inside.helper)
    host = made["HostConfig"]
    assert not host["Privileged"]
    assert (host["CapAdd"], host["CapDrop"]) == (["SYS_ADMIN"], ["ALL"])
    # AppArmor's usual profile of containers, where there is one, forbids mounting
    assert host["SecurityOpt"] == ["no-new-privileges:true", "apparmor=unconfined"]
    workspace = client.inspect_container(inside.pod.name)["HostConfig"]
    assert workspace["SecurityOpt"] == ["no-new-privileges:true"]
    assert [each["PathOnHost"] for each in host["Devices"]] == ["/dev/fuse"]
    assert (host["PidMode"], host["IpcMode"], host["UTSMode"]) == ("", "private", "")
    assert host["NetworkMode"] == inside.pod.name  # of its own, not the workspace's
    assert not any(each.endswith("docker.sock") for each in host["Binds"] or ())
    shown = client.exec_start(
        client.exec_create(
            inside.helper,
            [
                "sh",
                "-c",
                "for p in /proc/[0-9]*; do echo $(cat $p/comm) $(grep CapEff $p/status); done",
            ],
        )["Id"]
    ).decode()
    # but the engine's own, which is about to become the next look at the helper's health
    lines = [line for line in shown.splitlines() if "CapEff" in line and "runc:" not in line]
    rights = dict(line.split(" CapEff: ") for line in lines)
    assert rights["sshfs"] == rights["ssh"] == "0000000000000000", shown
    assert set(rights.values()) == {"0000000000000000", "0000000000200000"}, shown  # SYS_ADMIN


_WRITE_ON = """
import os, sys, time
began = time.monotonic()
block = bytes([7]) * (1 << 20)
try:
    with open(sys.argv[1], "wb") as file:
        for _ in range(400):
            file.write(block)
            time.sleep(0.02)
    print("done", time.monotonic() - began)
except OSError as exc:
    print("error", time.monotonic() - began, exc)
"""


async def test_f38_faults_of_server_and_helper(
    house: House, tables: Tables, inside: Inside, client
) -> None:
    """F38: the server is killed or hangs while something is written, again and again.

    Each time the writer has an error within 30 s, the file is a beginning and not zero-filled, and
    the mount heals itself. Then the helper is killed. A40: then the key is revoked while mounted.
    """
    for number in range(3):  # 200 times by hand
        await interrupted(house, inside, number, hangs=number == 2)
    await asyncio.to_thread(helper_is_killed, house, inside, client)
    await tables.stop(inside.key)
    told = await asyncio.to_thread(inside.until, "refused")
    assert told["reason"] == "The file server does not accept this workspace's key."
    assert inside.write(f"{HOME}/late", "words")[0] != 0
    assert not (home_of(house, inside) / "late").exists()


async def interrupted(house: House, inside: Inside, number: int, *, hangs: bool) -> None:
    """The server goes while a file is written, and comes back."""
    file = home_of(house, inside) / f"big-{number}"
    writer = asyncio.create_task(asyncio.to_thread(inside.run, _WRITE_ON, f"{HOME}/{file.name}"))
    await asyncio.to_thread(wait_for, lambda: file.exists() and file.stat().st_size, "the file")
    gone_at = time.monotonic()
    frozen = house.freeze() if hangs else house.kill_file_server()
    _, said = await writer
    assert time.monotonic() - gone_at < 30, said
    assert said.startswith("error"), said
    if frozen:
        house.thaw(frozen)
    else:
        house.start_file_server()
    await asyncio.to_thread(inside.until, "mounted")
    assert inside.write(f"{HOME}/after", f"words {number}") == (0, "")
    assert set(file.read_bytes()) == {7}
    file.unlink()


def helper_is_killed(house: House, inside: Inside, client) -> None:
    """The engine starts it again, and the running workspace has its mounts back."""
    first = psutil.Process(client.inspect_container(inside.helper)["State"]["Pid"])
    first.children()[0].kill()
    wait_for(
        lambda: client.inspect_container(inside.helper)["RestartCount"], "it", inside.helper_log
    )
    wait_for(lambda: inside.write(f"{HOME}/again", "w")[0] == 0, "the mount", inside.helper_log)
    assert (home_of(house, inside) / "again").read_text() == "w"
    inside.until("mounted", TEAM)


async def test_a_start_without_the_file_server_fails_in_words(
    docker_bench, house: House, tables: Tables, sidecars: str
) -> None:
    person = await tables.person()
    key = await tables.start(person, f"h-{person}", "public")
    house.stop_file_server()
    bare = replace(docker_bench.pod(person, "study"), start_timeout=10)
    pod = remote_pod(bare, house, sidecars, key)
    with pytest.raises(StartFailed, match=r"could not be mounted.*does not answer"):
        await docker_bench.runner.start(pod, docker_bench.silent)
    assert await docker_bench.runner.find(pod.ref) == []


async def test_a_bucket_carries_the_files(
    docker_bench, tmp_path: Path, sidecars: str, client
) -> None:
    """S3: written and read by path, the credentials in the helper alone, faults told as errors."""
    gateway = await asyncio.to_thread(ensure_hub_network, docker_bench.deployment)
    with object_store(gateway) as store:
        section = S3Section(endpoint=store.url, bucket=BUCKET, credentials=Path("s3"))
        deployment = docker_bench.deployment.model_copy(
            update={"storage": StorageSection(carrier="s3", s3=section)}
        )
        (deployment.state / "s3").write_text(f"{store.access_key}\n{store.secret_key}\n")
        bare = docker_bench.pod("ada", "study")
        pod = await with_storage_key(
            None, deployment, planned(bare, "ada", deployment.storage, sidecars)
        )
        await docker_bench.runner.start(pod, docker_bench.silent)
        inside = Inside(client, pod)
        try:
            await asyncio.to_thread(a_bucket_is_a_home, store, inside)
            await a_bucket_is_counted(deployment, sidecars, client)
        finally:
            await docker_bench.runner.stop(pod.ref, grace=1, journal=docker_bench.silent)


def a_bucket_is_a_home(store: ObjectStore, inside: Inside) -> None:
    assert inside.write(f"{HOME}/paper", "words") == (0, "")
    assert store.read("home/ada/paper") == "words"
    assert inside.read(f"{HOME}/paper") == "words"
    assert inside.write(f"{PUBLIC}/mine", "no")[0] != 0
    for secret in (store.secret_key, store.access_key):
        assert secret not in inside.read("/proc/1/environ")
        assert secret not in str(inside.client.inspect_container(inside.pod.name))
    (mine,) = [line for line in inside.read("/proc/self/mountinfo").splitlines() if HOME in line]
    assert "nosuid,nodev" in mine
    store.signal(signal.SIGSTOP)
    began = time.monotonic()
    assert inside.write(f"{HOME}/late", "words" * 1000)[0] != 0
    assert time.monotonic() - began < 30
    inside.until("lost")
    store.signal(signal.SIGCONT)
    inside.until("mounted")
    assert inside.write(f"{HOME}/after", "words") == (0, "")
    assert store.read("home/ada/after") == "words"


async def a_bucket_is_counted(deployment: Deployment, sidecars: str, client) -> None:
    """By a helper with the credentials; what is written to is counted again, and nobody else's."""
    await migrate(deployment.database_url)
    foundation = lay(deployment, "boot")
    async with foundation.database.session() as session:
        await register_image(
            session, name=SIDECARS_IMAGE, digest=sidecars, size_bytes=1, apps=[], labels={}
        )
        for name in ("ada", "ad"):
            session.add(Person(id=name, issuer=LOCAL_ISSUER, subject=name, username=name))
    counting = Counting(foundation, make_meter(foundation))
    assert len(await counting.round()) == 3
    async with foundation.database.reading() as session:
        rows = {row.subject: row for row in await session.scalars(select(StorageUsage))}
    found = {subject: (row.files, row.size_bytes, row.in_use) for subject, row in rows.items()}
    assert found == {"ada": (2, 10, True), "ad": (0, 0, False), "": (0, 0, False)}
    assert not client.containers(all=True, filters={"label": COUNTER_LABEL})
    # what a deleted group left is listed as long as there is something
    async with foundation.database.session() as session:
        session.add(StorageUsage(kind=Kind.SHARED, subject="g1", title="Left", deleted_at=now()))
    assert len(await counting.round()) == 1
    await counting.round()
    async with foundation.database.reading() as session:
        assert len(list(await session.scalars(select(StorageUsage)))) == 3
    await foundation.database.close()
