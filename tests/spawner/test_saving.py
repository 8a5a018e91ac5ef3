"""The helper that saves, in the plan and with its credential; the image of a checkpoint."""

from dataclasses import replace

import pytest

from petrihub_core import at_stop, instances
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoint_share_records import CheckpointShare
from petrihub_core.checkpoints import State
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Unavailable
from petrihub_core.image_server import ImageServer, repository_in
from petrihub_core.intents import DONE, START, STOP, Effect, Intents
from petrihub_core.menu import Standing, judge, menu_in_file
from petrihub_core.people import person_for
from petrihub_core.records import WorkspaceImage, now
from petrihub_core.tools import SIDECARS_IMAGE
from petrihub_spawner.choices import Choices, read_choices
from petrihub_spawner.compile.docker import docker_calls, sealed
from petrihub_spawner.offer import Offer, with_checkpoints
from petrihub_spawner.planner import Request, plan
from petrihub_spawner.pod.codec import encode
from petrihub_spawner.saving import CHECKPOINTER, CREDENTIAL_VARIABLE, with_credential

SERVER = ImageServer(
    engine="127.0.0.1:5001",
    pods="http://10.213.0.1:5001",
    registry="http://127.0.0.1:5002",
    service="http://127.0.0.1:5003",
)
BIO, SIDECARS = "sha256:" + "b" * 64, "sha256:" + "5" * 64
IMAGES = {
    name: WorkspaceImage(name=name, digest=digest, size_bytes=1)
    for name, digest in (("petrihub/bio", BIO), (SIDECARS_IMAGE, SIDECARS))
}
STARTED = {
    "User": "1000:1000",
    "Entrypoint": ["/usr/bin/tini", "--", "/usr/local/bin/petrihub-workspace"],
    "Cmd": ["jupyterhub-singleuser"],
    "Env": ["PATH=/usr/local/bin:/usr/bin", "LANG=C.UTF-8"],
    "WorkingDir": "/srv",
}
OLD_BASE, SAVED = "sha256:" + "0" * 64, "sha256:" + "c" * 64


def checkpoint(owner: str) -> Checkpoint:
    return Checkpoint(
        owner=owner,
        workspace="study",
        sequence=1,
        name="with DESeq2",
        author="ada",
        instance="i1",
        profile="bio-studio",
        size="small",
        base_image="petrihub/bio",
        base_digest=OLD_BASE,
        manifest_digest=SAVED,
        kind="save",
        state=State.DONE,
        deadline=now(),
    )


def chosen(deployment: Deployment, saved: Checkpoint | None = None) -> Choices:
    offered = judge(menu_in_file(deployment), Standing(), workspaces_per_person=3)
    options = {"profile": "bio-studio", "size": "small", "checkpoint": saved.id if saved else ""}
    return read_choices(options, offered, saved=[saved] if saved else [])


def request(deployment: Deployment, person: str = "p1", saved: Checkpoint | None = None) -> Request:
    return Request(
        person=person,
        workspace="elsewhere",
        username="ada",
        choices=chosen(deployment, saved),
        deployment=deployment,
        images=IMAGES,
        catalog=(),
        hub_environment={"JUPYTERHUB_API_TOKEN": "t0k3n"},
        port=8888,
        ready_path="/api",
        as_root=False,
        image_server=SERVER,
        started_as={OLD_BASE: STARTED},
    )


@pytest.fixture
def deployment(tmp_path) -> Deployment:
    return Deployment(state=tmp_path, backend="docker")


def test_the_helper_sees_the_main_container_and_gets_nothing_of_the_hubs(deployment):
    pod = plan(request(deployment))
    [helper] = pod.sidecars
    assert (helper.name, helper.image) == (CHECKPOINTER, SIDECARS)
    assert helper.environment == {"PETRIHUB_IMAGES_URL": SERVER.pods}
    assert not helper.secrets
    assert not helper.mounts
    body = dict(docker_calls(pod).containers)
    main, beside = body[pod.name], next(body[name] for name in body if name != pod.name)
    assert beside["HostConfig"]["PidMode"] == f"container:{pod.name}"
    assert main["HostConfig"]["PidMode"] == ""
    assert (beside["User"], beside["HostConfig"]["CapDrop"]) == ("1000:1000", ["ALL"])
    assert not beside["HostConfig"]["CapAdd"]
    assert not beside["HostConfig"]["Mounts"]
    assert "t0k3n" not in str(beside)


@pytest.mark.parametrize("missing", ["server", "image"])
def test_without_image_server_or_image_a_workspace_starts_without_the_helper(deployment, missing):
    asked = request(deployment)
    if missing == "server":
        asked = replace(asked, image_server=None)
    else:
        asked = replace(asked, images={"petrihub/bio": IMAGES["petrihub/bio"]})
    assert plan(asked).sidecars == ()


def test_a_checkpoint_is_run_by_its_digest_from_its_owners_repository(deployment):
    owner = "a" * 32
    pod = plan(request(deployment, owner, checkpoint(owner)))
    assert pod.main.image == f"127.0.0.1:5001/checkpoints/{owner}/study@{SAVED}"
    assert repository_in(pod.main.image) == f"checkpoints/{owner}/study"
    assert repository_in(BIO) is None
    # how it is started is said by us and by the image below, whatever the checkpoint says
    body = dict(docker_calls(pod).containers)[pod.name]
    evil = ["PATH=/opt/evil", "LD_PRELOAD=/opt/evil.so", "LANG=x"]
    sealed_body = sealed(body, {"Config": {"Env": evil}})
    assert sealed_body["Entrypoint"] == STARTED["Entrypoint"]
    assert sealed_body["Cmd"] == ["jupyterhub-singleuser"]
    assert sealed_body["WorkingDir"] == "/home/researcher"
    assert sealed_body["User"] == "1000:1000"
    assert {"PATH=/usr/local/bin:/usr/bin", "LANG=C.UTF-8"} <= set(sealed_body["Env"])
    # a name without a value takes the variable away
    assert [line for line in sealed_body["Env"] if "=" not in line] == ["LD_PRELOAD"]
    assert sealed_body["Healthcheck"] == {"Test": ["NONE"]}


def test_a_checkpoint_on_an_image_that_nobody_looked_at_is_refused_for_now(deployment):
    asked = replace(request(deployment, "p1", checkpoint("p1")), started_as={})
    with pytest.raises(Unavailable, match="not yet looked at"):
        plan(asked)


def test_without_the_image_server_a_checkpoint_is_refused_before_anything_starts(deployment):
    asked = replace(request(deployment, "p1", checkpoint("p1")), image_server=None)
    with pytest.raises(Unavailable, match="image server does not run"):
        plan(asked)


async def test_the_credential_is_for_one_start_and_is_written_nowhere(deployment, database):
    async with database.session() as session:
        person = await person_for(session, "local", "ada", username="ada")
    saved = checkpoint(person.id)
    intents = Intents(database, "boot")
    effect = Effect(
        kind=START, workspace=f"{person.id}/elsewhere", owner=person.id, external={}, plan={}
    )
    row = await intents.begin(effect, deadline_s=60)
    asked = request(deployment, person.id, saved)
    pod = await with_credential(
        database, replace(plan(asked), intent=row.id), asked.choices, IMAGES
    )
    credential = pod.sidecars[0].secrets[CREDENTIAL_VARIABLE]
    assert credential not in str(encode(pod))
    async with database.session() as session:
        known = await instances.known(session, credential)
        # what it saves stands on the image that the checkpoint stands on, not on today's
        assert (known.base_digest, known.checkpoint_id) == (OLD_BASE, saved.id)
        assert credential.partition(".")[2] not in str(vars(known))
    stop = await intents.begin(replace(effect, kind=STOP), deadline_s=60)
    async with database.session() as session:
        assert await instances.known(session, credential)  # a stop that may still fail
    await intents.finish(stop.id)
    assert (await intents.get(stop.id)).state == DONE
    async with database.session() as session:
        with pytest.raises(instances.NotKnown):
            await instances.known(session, credential)


@pytest.mark.parametrize(("mode", "kept"), [("read", False), ("derive", True)])
async def test_of_what_is_shared_read_only_nothing_is_kept_at_the_stop(
    deployment, database, mode, kept
):
    """A share that ends later is another thing: tests/images/test_revoked.py."""
    async with database.session() as session:
        ada = await person_for(session, "local", "ada", username="ada")
        eve = await person_for(session, "local", "eve", username="eve")
        saved = checkpoint(ada.id)
        session.add(saved)
        await session.flush()
        share = {"kind": "person", "person_id": eve.id, "mode": mode}
        session.add(CheckpointShare(checkpoint_id=saved.id, owner_id=ada.id, **share))
    effect = Effect(kind=START, workspace=f"{eve.id}/elsewhere", owner=eve.id, external={}, plan={})
    intents = Intents(database, "boot")
    row = await intents.begin(effect, deadline_s=60)
    asked = request(deployment, eve.id, saved)
    profile = asked.choices.profile.model_copy(update={"save_at_stop": True})
    pod = replace(plan(asked), intent=row.id)
    await with_credential(database, pod, replace(asked.choices, profile=profile), IMAGES)
    await intents.finish(row.id)
    async with database.session() as session:
        assert (await at_stop.ask(session, eve.id, "elsewhere") is not None) is kept


def test_what_others_share_is_offered_with_their_name(deployment):
    offered = judge(menu_in_file(deployment), Standing(), workspaces_per_person=3)
    mine, theirs = checkpoint("p1"), checkpoint("p2")
    nothing = Offer(profiles=(), profile="", size="", limits_enforced=True, limits_words="")
    offer = with_checkpoints(
        nothing, [mine, theirs], offered, IMAGES, "", sharers={theirs.id: "eve"}
    )
    own, shared = offer.checkpoints
    assert own.words.startswith("study, ")
    assert shared.words.startswith("shared by eve, ")
    assert "bio-studio" in shared.profiles
    assert "Checkpoints can move it onto the new one" in shared.older  # its image was built anew
