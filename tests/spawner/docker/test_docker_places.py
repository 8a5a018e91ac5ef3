"""Places on a real engine: who sees what, who may write, what is counted, what is taken back."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from rich.console import Console
from sqlalchemy import select

from petrihub_cli.engine import ensure_engine
from petrihub_cli.images.build import build_images
from petrihub_core import groups
from petrihub_core.database import migrate
from petrihub_core.images import register_image
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.places import Kind, Place, external, home_of, places_of
from petrihub_core.records import AuditRow, Notification, Person, RoleGrant
from petrihub_core.roles import Actor, Permission
from petrihub_core.storage_records import StorageUsage
from petrihub_core.tools import SIDECARS_IMAGE
from petrihub_spawner.backends.docker_meter import COUNTER_LABEL, DockerMeter, counter_body
from petrihub_spawner.contract import NOTED, ask, started, until
from petrihub_spawner.counting import EVERY, Counting
from petrihub_spawner.foundation import lay
from petrihub_spawner.hub_servers import HubServers
from petrihub_spawner.placing import placed
from petrihub_spawner.pod.model import DEPLOYMENT_LABEL
from petrihub_spawner.reconcile import run_forever
from petrihub_spawner.withdrawn import Withdrawals

from tests.cli.test_images_built import _ca_bundle
from tests.spawner.docker.conftest import PYTHON

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]

BOSS = Actor("boss", frozenset(Permission))
IMAGING = Place(kind=Kind.SHARED, subject="g1", path="/mnt/shared/imaging", name="imaging")
GENOMICS = Place(kind=Kind.SHARED, subject="g2", path="/mnt/shared/genomics", name="genomics")
PUBLIC = Place(kind=Kind.PUBLIC, subject="", path="/mnt/public", read_only=True)


def pod_with(bench, person, *places, workspace="study"):
    pod = bench.pod(person, workspace)
    volumes, mounts = placed(pod.ref, "/home/researcher", [home_of(person), *places])
    return replace(pod, volumes=volumes, main=replace(pod.main, mounts=mounts))


async def refused(address, **query):
    """Whether the program failed to write."""
    try:
        await ask(address, "write", **query)
    except httpx.HTTPError:
        return True
    return False


async def test_members_share_a_folder_and_nobody_else_sees_it(docker_bench, client):
    ada = await started(docker_bench, pod_with(docker_bench, "ada", IMAGING, PUBLIC))
    bob = await started(docker_bench, pod_with(docker_bench, "bob", IMAGING, GENOMICS, PUBLIC))
    eve = await started(docker_bench, pod_with(docker_bench, "eve", PUBLIC))
    await ask(ada, "write", name=f"{IMAGING.path}/scan.txt", text="42")
    assert await ask(bob, "read", name=f"{IMAGING.path}/scan.txt") == "42"
    await ask(bob, "write", name=f"{GENOMICS.path}/reads.txt", text="7")
    for place in (IMAGING, GENOMICS):
        assert await refused(eve, name=f"{place.path}/x", text="x")
    assert await refused(ada, name=f"{GENOMICS.path}/x", text="x")
    # the volume is nobody's alone, and says so
    labels = client.inspect_volume(IMAGING.external(docker_bench.deployment.id))["Labels"]
    assert labels == {"org.petrihub.deployment": docker_bench.deployment.id}


async def test_public_is_read_by_all_and_written_by_who_may(docker_bench):
    boss = await started(
        docker_bench, pod_with(docker_bench, "boss", replace(PUBLIC, read_only=False))
    )
    ada = await started(docker_bench, pod_with(docker_bench, "ada", PUBLIC))
    await ask(boss, "write", name="/mnt/public/genome.fa", text="ACGT")
    assert await ask(ada, "read", name="/mnt/public/genome.fa") == "ACGT"
    assert await refused(ada, name="/mnt/public/genome.fa", text="x")
    assert await ask(boss, "read", name="/mnt/public/genome.fa") == "ACGT"


# --- full ---------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["size=256k", "nr_inodes=20"])
async def test_who_fills_their_volume_hurts_nobody_else(docker_bench, client, limit):
    """F17: no room, or no more files: the write fails, what was there stays, others go on."""
    deployment = docker_bench.deployment.id
    client.create_volume(
        name=external(deployment, Kind.HOME, "ada"),
        driver="local",
        driver_opts={"type": "tmpfs", "device": "tmpfs", "o": f"{limit},uid=1000,mode=755"},
        labels={"org.petrihub.deployment": deployment},
    )
    ada = await started(docker_bench, pod_with(docker_bench, "ada", IMAGING))
    bob = await started(docker_bench, pod_with(docker_bench, "bob", IMAGING))
    await ask(ada, "write", name="notes.txt", text="42")
    filled = False
    for number in range(64):
        if filled := await refused(ada, name=f"f{number}", text="x" * 16_000):
            break
    assert filled
    assert await ask(ada, "read", name="notes.txt") == "42"
    await ask(ada, "write", name=f"{IMAGING.path}/still.txt", text="works")
    await ask(bob, "write", name="notes.txt", text="x" * 16_000)
    # and it can be started again, to tidy up
    await docker_bench.runner.stop(docker_bench.pod("ada", "study").ref, grace=1, journal=NOTED)


# --- withdrawn ----------------------------------------------------------------------------


def watcher(hub):
    token = hub._environment["TEST_HUB_TOKEN"]
    return Withdrawals(hub.foundation, HubServers(f"{hub.url}/api", token))


async def mounted(client, hub, workspace="study"):
    """Where the running workspace has something mounted, and whether it may write there."""
    mine = {"label": f"org.petrihub.deployment={hub.deployment.id}"}
    return {
        mount["Destination"]: mount["RW"]
        for each in client.containers(filters=mine)
        if each["Labels"].get("org.petrihub.workspace", "").endswith(f"/{workspace}")
        for mount in each["Mounts"]
    }


async def test_what_is_taken_from_a_person_is_gone_from_what_runs(docker_hub, client):
    """Out of the group, or no right to write: it ends, says why, and starts without."""
    hub, tables = docker_hub, docker_hub.foundation.database
    async with tables.session() as session:
        await groups.make(session, BOSS, name="imaging", title="Light sheet")
        await groups.make(session, BOSS, name="genomics", title="Genomics")
        for name in ("imaging", "genomics"):
            await groups.add_member(session, BOSS, name, "ada")
        ada = await session.scalar(select(Person).where(Person.username == "ada"))
        session.add(RoleGrant(person_id=ada.id, role="content-admin", granted_by="tests"))
    await hub.ready("ada", "study")
    home = {"/home/researcher": True}
    both = {"/mnt/shared/imaging": True, "/mnt/shared/genomics": True}
    assert await mounted(client, hub) == {**home, **both, "/mnt/public": True}

    watch = watcher(hub)
    assert await watch.look() == []
    async with tables.session() as session:
        await groups.remove_member(session, BOSS, "imaging", "ada")
    assert await watch.look() == [f"{ada.id}/study"]

    async def gone():
        return not await hub.runner().find()

    await until(gone)
    assert await watch.look() == []
    await hub.ready("ada", "study")
    assert await mounted(client, hub) == {**home, "/mnt/shared/genomics": True, "/mnt/public": True}

    async with tables.session() as session:
        await session.delete(await session.get_one(RoleGrant, (ada.id, "content-admin")))
        await groups.delete_group(session, BOSS, "genomics")
    assert await watch.look() == [f"{ada.id}/study"]
    await until(gone)
    await hub.ready("ada", "study")
    assert await mounted(client, hub) == {**home, "/mnt/public": False}
    # it is told once for each start that was ended, and stands in the trail
    async with tables.reading() as session:
        lines = list(await session.scalars(select(Notification).order_by(Notification.at)))
        trail = list(await session.scalars(select(AuditRow).where(AuditRow.actor == "petrihub")))
    assert [line.title for line in lines] == ["study was stopped"] * 2
    assert "You do not have /mnt/shared/imaging any more." in lines[0].text
    assert [row.target for row in trail] == ["ada/study"] * 2
    await watch.hub.close()
    # the group's files are kept
    left = {each["Name"] for each in client.volumes()["Volumes"]}
    async with tables.reading() as session:
        assert len(await places_of(session, ada.id)) == 2
    assert sum(name.startswith("shared-" + hub.deployment.id) for name in left) == 2


# --- counted ------------------------------------------------------------------------------


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
async def counting(docker_bench, sidecars):
    await migrate(docker_bench.deployment.database_url)
    foundation = lay(docker_bench.deployment, "boot")
    async with foundation.database.session() as session:
        await register_image(
            session, name=SIDECARS_IMAGE, digest=sidecars, size_bytes=1, apps=[], labels={}
        )
        for name in ("ada", "bob"):
            session.add(Person(id=name, issuer=LOCAL_ISSUER, subject=name, username=name))
        await session.flush()
        await groups.make(session, BOSS, name="imaging", title="Light sheet")
        await groups.add_member(session, BOSS, "imaging", "ada")
    yield Counting(foundation, DockerMeter(docker_bench.deployment, foundation.database))
    await foundation.database.close()


def run(client, pod, script):
    """What somebody does in their workspace."""
    asked = client.exec_create(pod.name, [PYTHON, "-c", script], user="1000")["Id"]
    said = client.exec_start(asked).decode()
    assert client.exec_inspect(asked)["ExitCode"] == 0, said


async def rows(counting):
    async with counting.foundation.database.reading() as session:
        found = await session.scalars(select(StorageUsage))
        return {row.kind: row for row in found}


async def age(counting, by):
    """As if everything had been counted this long ago."""
    counting._tried.clear()
    async with counting.foundation.database.session() as session:
        for row in await session.scalars(select(StorageUsage)):
            row.counted_at -= by


HOSTILE = """
import os, pathlib
home = pathlib.Path("/home/researcher")
(home / "data").write_bytes(b"x" * 1_000_000)
(home / "root").symlink_to("/")
(home / "group").symlink_to("/mnt/shared/imaging")
(home / "proc").symlink_to("/proc/1/root")
os.link(home / "data", home / "again")
os.mkfifo(home / "pipe")
pathlib.Path("/mnt/shared/imaging/scan").write_bytes(b"x" * 5_000_000)
"""


async def test_what_people_have_is_counted_and_nothing_else(docker_bench, client, counting):
    """A38: links of a person's lead the counter to no other volume and to no file of its own."""
    async with counting.foundation.database.reading() as session:
        places = await places_of(session, "ada")
    pod = pod_with(docker_bench, "ada", *places)
    await started(docker_bench, pod)
    run(client, pod, HOSTILE)
    assert len(await counting.round()) == 3
    counted = await rows(counting)
    assert 1_000_000 <= counted["home"].size_bytes < 1_100_000
    assert counted["home"].files == 5
    assert 5_000_000 <= counted["shared"].size_bytes < 5_100_000
    assert (counted["shared"].files, counted["public"].files) == (1, 0)
    assert (counted["home"].in_use, counted["public"].in_use) == (True, False)
    assert not counted["home"].partial
    assert await counting.round() == []

    # again when it is in use, once more after it was, then once a day
    await age(counting, EVERY)
    assert len(await counting.round()) == 2
    await docker_bench.runner.stop(pod.ref, grace=1, journal=NOTED)
    await age(counting, EVERY)
    assert len(await counting.round()) == 2
    await age(counting, EVERY)
    assert await counting.round() == []
    await age(counting, timedelta(days=1))
    assert len(await counting.round()) == 3

    # what a deleted group left is kept and counted, until somebody removes it themselves
    async with counting.foundation.database.session() as session:
        await groups.delete_group(session, BOSS, "imaging")
    await age(counting, timedelta(days=1))
    assert len(await counting.round()) == 3
    shared = (await rows(counting))["shared"]
    assert (shared.title, shared.size_bytes) == (
        "Light sheet (imaging)",
        counted["shared"].size_bytes,
    )
    client.remove_volume(external(pod.ref.deployment, Kind.SHARED, shared.subject))
    await counting.round()
    assert "shared" not in await rows(counting)


async def test_who_closes_their_folder_is_not_counted_and_others_are(
    docker_bench, client, counting
):
    """A38: nothing of the counter is left over, and the next one comes in its turn."""
    for person in ("ada", "bob"):
        pod = pod_with(docker_bench, person)
        await started(docker_bench, pod)
        if person == "ada":
            run(client, pod, "import os; os.chmod('/home/researcher', 0)")
    assert await counting.round() == [external(pod.ref.deployment, Kind.HOME, "bob")]
    assert await counting.round() == []
    assert not client.containers(all=True, filters={"label": COUNTER_LABEL})


@pytest.mark.parametrize("moment", ["create", "start"])
async def test_no_counter_outlives_the_hub(docker_bench, client, counting, monkeypatch, moment):
    volume = external(docker_bench.deployment.id, Kind.HOME, "ada")
    client.create_volume(name=volume, labels={DEPLOYMENT_LABEL: docker_bench.deployment.id})
    monkeypatch.setenv("PETRIHUB_BOOT", "boot")
    monkeypatch.setenv("JUPYTERHUB_API_URL", "http://127.0.0.1:9/hub/api")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "none")
    told = client.events(filters={"label": f"{COUNTER_LABEL}={volume}", "event": moment})
    reconciler = asyncio.create_task(run_forever(docker_bench.deployment))
    await asyncio.to_thread(next, told)
    told.close()
    reconciler.cancel()
    await reconciler
    assert not client.containers(all=True, filters={"label": COUNTER_LABEL})


async def test_the_counter_can_do_nothing_but_read(docker_bench, client, sidecars):
    """A38, A50: as every container of ours, and without a network or anything to write to."""
    volume = external(docker_bench.deployment.id, Kind.HOME, "ada")
    client.create_volume(
        name=volume, labels={"org.petrihub.deployment": docker_bench.deployment.id}
    )
    body = counter_body(docker_bench.deployment.id, volume, sidecars)
    made = client.create_container_from_config(body)["Id"]
    about = client.inspect_container(made)
    host = about["HostConfig"]
    assert about["Config"]["User"] == "1000:1000"
    assert not [line for line in about["Config"]["Env"] if line.startswith("PETRIHUB")]
    assert host["CapDrop"] == ["ALL"]
    assert not any(host[name] for name in ("CapAdd", "Privileged", "Binds", "Devices"))
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"]
    assert all(host[name] > 0 for name in ("PidsLimit", "Memory", "CpuQuota"))
    assert [(each["Name"], each["RW"]) for each in about["Mounts"]] == [(volume, False)]
