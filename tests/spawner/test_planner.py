"""The planner: from a person's choices to a pod, on both backends."""

import json
from dataclasses import replace

import pytest

from petrihub_core.apps import AppDescriptor
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Refused, Unavailable
from petrihub_core.menu import Standing, judge, menu_in_file
from petrihub_core.places import Kind, Place, home_of
from petrihub_core.records import WorkspaceImage
from petrihub_spawner.choices import read_choices
from petrihub_spawner.planner import Request, local_apps, plan, workspace_ref

SHELL = AppDescriptor(id="shell", title="Shell", command=("sh",), requires=("sh",))
EXOTIC = AppDescriptor(id="exotic", title="Exotic", command=("x",), requires=("surely-not-here",))
EVIL = AppDescriptor(id="evil", title="Evil", command=("x",), environment={"LD_PRELOAD": "/x"})


@pytest.fixture
def docker(tmp_path):
    return Deployment(state=tmp_path, backend="docker")


def choose(deployment, **options):
    offered = judge(menu_in_file(deployment), Standing(), workspaces_per_person=3)
    return read_choices(options, offered)


def request(deployment, **changes):
    asked = Request(
        person="p3rs0n",
        workspace="study",
        username="ada",
        choices=choose(deployment, profile="bio-studio", size="small"),
        deployment=deployment,
        images={},
        catalog=(),
        hub_environment={"JUPYTERHUB_API_TOKEN": "t0k3n", "JUPYTERHUB_USER": "ada"},
        port=8888,
        ready_path="/user/ada/study/api",
        as_root=False,
    )
    return replace(asked, **changes)


def image(*apps):
    return WorkspaceImage(
        name="petrihub/bio",
        digest="sha256:abc",
        size_bytes=1,
        apps=[app.model_dump(mode="json") for app in apps],
    )


def test_a_container_runs_the_allowed_image_by_digest_within_the_size(docker):
    pod = plan(request(docker, images={"petrihub/bio": image(SHELL)}))
    assert pod.main.image == "sha256:abc"
    assert pod.main.resources.memory_bytes == 2 * 2**30
    assert pod.main.resources.cpu == 1
    assert pod.ref.key == "p3rs0n/study"
    assert [app["id"] for app in json.loads(pod.main.environment["PETRIHUB_APPS"])] == ["shell"]


def test_an_image_that_is_not_allowed_is_refused_with_the_next_step(docker):
    with pytest.raises(Unavailable, match="petrihub/bio is not built yet") as refusal:
        plan(request(docker, images={"petrihub/other": image()}))
    assert "petrihub images build" in refusal.value.hint


def test_a_machine_without_studio_says_so(deployment):
    with pytest.raises(Unavailable, match="not installed"):
        plan(request(deployment))


def test_a_process_gets_a_built_environment(deployment, studio, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_HUB", "x")
    pod = plan(request(deployment, catalog=(SHELL, EXOTIC), as_root=True))
    assert pod.main.command == (str(studio / "jupyterhub-singleuser"), "--allow-root")
    assert pod.main.environment["PATH"].startswith(str(studio))
    assert pod.main.environment["HOME"] == str(deployment.homes / "p3rs0n")
    assert "SECRET_OF_THE_HUB" not in pod.main.environment
    apps = {app["id"]: app for app in json.loads(pod.main.environment["PETRIHUB_APPS"])}
    assert apps["shell"]["unavailable"] == ""
    assert "needs surely-not-here" in apps["exotic"]["unavailable"]


def test_a_token_is_a_secret_and_not_open(docker):
    pod = plan(request(docker, images={"petrihub/bio": image()}))
    assert pod.main.secrets == {"JUPYTERHUB_API_TOKEN": "t0k3n"}
    assert "t0k3n" not in pod.main.environment.values()


def test_an_app_cannot_set_what_belongs_to_petrihub(docker):
    pod = plan(request(docker, images={"petrihub/bio": image(EVIL)}))
    (app,) = json.loads(pod.main.environment["PETRIHUB_APPS"])
    assert app["environment"] == {}
    assert "LD_PRELOAD" in app["unavailable"]


def test_two_workspaces_of_a_person_share_the_home_and_nothing_else(docker):
    images = {"petrihub/bio": image()}
    one = plan(request(docker, images=images))
    other = plan(request(docker, images=images, workspace="second"))
    stranger = plan(request(docker, images=images, person="0th3r"))
    assert one.volumes == other.volumes
    assert one.name != other.name
    assert stranger.volumes != one.volumes


@pytest.mark.parametrize("name", ["", "My Study", "a/b", "../x", "x" * 40, "Äpfel"])
def test_a_workspace_has_a_plain_name_of_its_own(deployment, name):
    with pytest.raises(Refused):
        workspace_ref(deployment, "p", name)


def test_a_member_of_a_group_has_its_folder_and_the_public_one(docker):
    places = (
        home_of("p3rs0n"),
        Place(kind=Kind.SHARED, subject="g1", path="/mnt/shared/imaging", name="imaging"),
        Place(kind=Kind.PUBLIC, subject="", path="/mnt/public", read_only=True),
    )
    pod = plan(request(docker, images={"petrihub/bio": image()}, places=places))
    assert [volume.name for volume in pod.volumes] == ["home", "shared-imaging", "public"]
    assert [(mount.path, mount.read_only) for mount in pod.main.mounts] == [
        ("/home/researcher", False),
        ("/mnt/shared/imaging", False),
        ("/mnt/public", True),
    ]
    assert json.loads(pod.main.environment["PETRIHUB_PLACES"]) == {
        "Shared/imaging": "/mnt/shared/imaging",
        "Public": "/mnt/public",
    }
    assert pod.volumes[0] == plan(request(docker, images={"petrihub/bio": image()})).volumes[0]


def test_a_process_has_its_home_and_nothing_else(deployment, studio):
    place = Place(kind=Kind.SHARED, subject="g1", path="/mnt/shared/imaging", name="imaging")
    pod = plan(request(deployment, places=(place,)))
    assert [mount.path for mount in pod.main.mounts] == [str(deployment.homes / "p3rs0n")]
    assert "PETRIHUB_PLACES" not in pod.main.environment


def test_a_known_reason_is_kept(deployment):
    app = EXOTIC.model_copy(update={"unavailable": "Closed today."})
    assert local_apps((app,), deployment.profiles[0], deployment)[0].unavailable == "Closed today."


def test_a_profile_offers_only_its_own_apps(docker):
    choices = choose(docker, profile="notebooks")
    images = {"petrihub/base": image(SHELL)}
    pod = plan(request(docker, images=images, choices=choices))
    assert pod.main.environment["PETRIHUB_APPS"] == "[]"


def test_an_app_that_is_for_others_comes_greyed_with_the_rule(deployment, studio):
    rule = "This app is for the group imaging. You can ask for it."
    pod = plan(request(deployment, catalog=(SHELL, EXOTIC), refused_apps={"shell": rule}))
    apps = {app["id"]: app for app in json.loads(pod.main.environment["PETRIHUB_APPS"])}
    assert apps["shell"]["unavailable"] == rule
    assert "needs surely-not-here" in apps["exotic"]["unavailable"]
