"""Volumes that are kept elsewhere: what is planned, refused, and given to the helper."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from petrihub_core import storage_keys
from petrihub_core.carriers import S3Section, SftpSection, StorageSection
from petrihub_core.deployment import Deployment, parse_deployment
from petrihub_core.errors import ConfigError, Unavailable
from petrihub_core.intents import START, STOP, Effect, Intents
from petrihub_core.people import person_for
from petrihub_spawner.carrying import KEY_VARIABLE, carried, with_storage_key
from petrihub_spawner.planner import plan
from petrihub_spawner.pod.codec import encode
from petrihub_spawner.pod.model import Mount, Volume

from tests.spawner.test_saving import IMAGES, SIDECARS, request

SFTP = StorageSection(
    carrier="sftp", sftp=SftpSection(host="files.example.org", host_key="ssh-ed25519 AAAA")
)
S3 = StorageSection(
    carrier="s3",
    s3=S3Section(endpoint="https://s3.example.org", bucket="files", credentials=Path("s3")),
)


@pytest.fixture
def deployment(tmp_path) -> Deployment:
    return Deployment(state=tmp_path, backend="docker", storage=SFTP)


def test_a_home_on_the_file_server_comes_with_its_helper(deployment):
    pod = plan(request(deployment, "p1"))
    assert pod.volumes[0].remote.account == "h-p1"
    assert pod.carrier.image == SIDECARS
    (order,) = json.loads(pod.carrier.environment["PETRIHUB_MOUNTS"])
    assert (order["name"], order["path"]) == ("home", "/home/researcher")
    assert order["remote"]["host_key"] == "ssh-ed25519 AAAA"
    assert not pod.carrier.mounts
    assert not pod.carrier.shares_processes


def test_without_the_helpers_image_the_start_is_refused_in_words(deployment):
    asked = replace(request(deployment), images={"petrihub/bio": IMAGES["petrihub/bio"]})
    with pytest.raises(Unavailable, match="helper that mounts them is not built"):
        plan(asked)


def test_volumes_are_the_default(tmp_path):
    pod = plan(request(Deployment(state=tmp_path, backend="docker")))
    assert pod.carrier is None
    assert pod.volumes[0].remote is None


def test_each_volume_has_its_own_account_and_prefix():
    volumes = (
        Volume(name="home", external="x", subject="p1"),
        Volume(name="shared-team", external="x", subject="g1"),
        Volume(name="public", external="x"),
    )
    for read_only, public in ((True, "public"), (False, "public-w")):
        mounts = [Mount(volume="public", path="/mnt/public", read_only=read_only)]
        accounts = [each.remote.account for each in carried(volumes, mounts, SFTP)]
        assert accounts == ["h-p1", "g-g1", public]
    assert [each.remote.prefix for each in carried(volumes, [], S3)] == [
        "home/p1",
        "shared/g1",
        "public",
    ]


def test_the_local_backend_refuses_storage_elsewhere_in_words(tmp_path):
    text = '[storage]\ncarrier = "s3"\n[storage.s3]\nendpoint = "http://a"\nbucket = "abc"\n'
    with pytest.raises(ConfigError, match="carrier 's3' needs containers: the local backend"):
        parse_deployment(f'{text}credentials = "x"\n', tmp_path / "petrihub.toml")


def test_a_carrier_without_its_section_is_refused(tmp_path):
    text = 'backend = "docker"\n[storage]\ncarrier = "sftp"\n'
    with pytest.raises(ConfigError, match=r"needs the section \[storage.sftp\]"):
        parse_deployment(text, tmp_path / "petrihub.toml")


async def test_the_key_is_for_one_start_and_is_written_nowhere(deployment, database):
    async with database.session() as session:
        person = await person_for(session, "local", "ada", username="ada")
    intents = Intents(database, "boot")
    effect = Effect(
        kind=START, workspace=f"{person.id}/elsewhere", owner=person.id, external={}, plan={}
    )

    async def start():
        row = await intents.begin(effect, deadline_s=60)
        pod = replace(plan(request(deployment, person.id)), intent=row.id)
        return await with_storage_key(database, deployment, pod)

    async def logins():
        async with database.session() as session:
            return await storage_keys.logins(session)

    first = await start()
    key = first.carrier.secrets[KEY_VARIABLE]
    assert "OPENSSH PRIVATE KEY" in key
    assert key not in str(encode(first))
    (before,) = await logins()
    assert before.account == f"h-{person.id}"
    second = await start()
    assert second.carrier.secrets[KEY_VARIABLE] != key
    (after,) = await logins()
    assert after.key != before.key  # the earlier start's is over
    stop = await intents.begin(replace(effect, kind=STOP), deadline_s=60)
    assert await logins()  # a stop that may still fail
    await intents.finish(stop.id)
    assert await logins() == []


async def test_credentials_of_a_bucket_are_read_at_each_start(tmp_path, database):
    deployment = Deployment(state=tmp_path, backend="docker", storage=S3)
    pod = plan(request(deployment))
    with pytest.raises(ConfigError, match="does not hold two lines"):
        await with_storage_key(database, deployment, pod)
    (tmp_path / "s3").write_text("acc3ss\ns3cr3t\n")
    given = await with_storage_key(database, deployment, pod)
    assert given.carrier.secrets == {"PETRIHUB_STORAGE_S3": "acc3ss:s3cr3t"}
    assert "s3cr3t" not in str(encode(given))
