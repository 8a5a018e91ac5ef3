"""The plan of a tool that stands behind the gate: who gets what, and what is refused."""

import json
from dataclasses import replace

import pytest

from petrihub_core.deployment import Deployment, Profile, Size
from petrihub_core.errors import Refused, Unavailable, Unsupported
from petrihub_core.image_server import ImageServer
from petrihub_core.records import WorkspaceImage
from petrihub_core.tools import ToolSection, labelled_tool, tool_labels
from petrihub_spawner.choices import Choices
from petrihub_spawner.planner import Request, image_problem, plan
from petrihub_spawner.saving import CHECKPOINTER

LABELS = {
    "org.petrihub.kind": "tool",
    "org.petrihub.tool.title": "Viewer",
    "org.petrihub.tool.port": "5005",
    "org.petrihub.tool.health": "/alive",
    "org.petrihub.tool.command": '["view", "--port={port}", "--base", "{base_path}"]',
    "org.petrihub.tool.absolute-urls": "true",
}
SMALL = Size(id="small", title="Small", cpu=1, memory_gib=2)


def image(name, **labels):
    return WorkspaceImage(name=name, digest=f"sha256:{name}", size_bytes=1, labels=labels)


def request(tmp_path, *, labels=LABELS, tool=None, backend="docker", sidecars=True):
    images = {
        "local/viewer": WorkspaceImage(
            name="local/viewer", digest="sha256:viewer", size_bytes=1, labels=dict(labels)
        )
    }
    if sidecars:
        images["petrihub/sidecars"] = image("petrihub/sidecars")
    profile = Profile(id="view", title="View", image="local/viewer", sizes=("small",), tool=tool)
    return Request(
        person="p3rs0n",
        workspace="study",
        username="ada",
        choices=Choices(profile, SMALL),
        deployment=Deployment(state=tmp_path, backend=backend),
        images=images,
        catalog=(),
        hub_environment={
            "JUPYTERHUB_API_TOKEN": "t0k3n",
            "JPY_API_TOKEN": "t0k3n",
            "JUPYTERHUB_USER": "ada",
            "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/study/",
        },
        port=8888,
        ready_path="/user/ada/study/api",
        as_root=False,
    )


def test_only_the_gate_gets_what_is_the_hubs(tmp_path):
    pod = plan(request(tmp_path))
    (gate,) = pod.sidecars
    assert gate.secrets == {"JUPYTERHUB_API_TOKEN": "t0k3n", "JPY_API_TOKEN": "t0k3n"}
    assert gate.environment["JUPYTERHUB_USER"] == "ada"
    assert gate.mounts == ()
    assert pod.main.secrets == {}
    assert not [name for name in pod.main.environment if name.startswith(("JUPYTERHUB", "JPY"))]
    assert "t0k3n" not in repr(pod)


def test_the_door_is_the_gates_and_ready_when_the_tool_is(tmp_path):
    pod = plan(request(tmp_path))
    assert pod.door.ready_path == "/user/ada/study/petrihub-gate/health"
    assert pod.keeper.name == "gate"
    told = json.loads(pod.keeper.environment["PETRIHUB_GATE"])
    assert told == {"title": "Viewer", "port": 5005, "health": "/alive", "absolute_urls": True}


def test_the_images_labels_say_how_the_tool_is_started(tmp_path):
    main = plan(request(tmp_path)).main
    assert main.image == "sha256:viewer"
    assert main.command == ("view", "--port=5005", "--base", "/user/ada/study")
    assert main.environment["PETRIHUB_IDENTITY_AUDIENCE"] == "p3rs0n/study"


def test_the_profile_has_the_last_word(tmp_path):
    pod = plan(request(tmp_path, tool=ToolSection(port=7000, command=("other",))))
    assert pod.main.command == ("other",)
    assert json.loads(pod.keeper.environment["PETRIHUB_GATE"])["port"] == 7000
    assert json.loads(pod.keeper.environment["PETRIHUB_GATE"])["health"] == "/alive"


@pytest.mark.parametrize("port", [8888, 8889])
def test_the_gates_own_ports_are_not_for_tools(tmp_path, port):
    asked = request(tmp_path, tool=ToolSection(port=port))
    with pytest.raises(Refused, match=str(port)):
        plan(asked)
    assert str(port) in image_problem(asked.choices.profile, asked.images)


def test_a_tool_that_names_no_port_is_refused(tmp_path):
    with pytest.raises(Refused, match="port"):
        plan(request(tmp_path, labels={"org.petrihub.kind": "tool"}))


def test_without_the_gates_image_nothing_starts(tmp_path):
    asked = request(tmp_path, sidecars=False)
    with pytest.raises(Unavailable, match="petrihub/sidecars is not built yet"):
        plan(asked)


def test_processes_of_this_machine_are_no_place_for_a_tool(tmp_path):
    with pytest.raises(Unsupported, match="container of its own"):
        plan(request(tmp_path, tool=ToolSection(), backend="local"))


def test_labels_that_were_written_are_read_back():
    tool = ToolSection(port=1, title="A", command=("x", "{port}"), absolute_urls=True)
    assert labelled_tool(tool_labels(tool)) == tool


@pytest.mark.parametrize(
    ("name", "value"),
    [("port", "http"), ("port", "70000"), ("command", "view it"), ("health", "alive"), ("x", "1")],
)
def test_a_label_that_cannot_be_used_is_named(name, value):
    with pytest.raises(Refused, match=rf"org\.petrihub\.tool\.{name}"):
        labelled_tool({f"org.petrihub.tool.{name}": value})


def test_an_image_that_says_nothing_runs_jupyterlab(tmp_path):
    pod = plan(request(tmp_path, labels={}))
    assert pod.main.command == ("jupyterhub-singleuser",)
    assert pod.sidecars == ()


def test_what_is_installed_beside_a_tool_can_be_saved_too(tmp_path):
    server = ImageServer(engine="e", pods="http://10.0.0.1:5", registry="r", service="s")
    pod = plan(replace(request(tmp_path), image_server=server))
    gate, helper = pod.sidecars
    assert (gate.name, helper.name, helper.shares_processes) == ("gate", CHECKPOINTER, True)
    assert helper.secrets == {}
