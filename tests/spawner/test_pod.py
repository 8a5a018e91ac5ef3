"""Model, codec and checks of a pod."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petrihub_core.errors import ConfigError
from petrihub_spawner.pod.checks import check, reserved
from petrihub_spawner.pod.codec import decode, encode, without_secrets
from petrihub_spawner.pod.model import (
    Container,
    Door,
    Mount,
    PodRef,
    Resources,
    Volume,
    WorkspacePod,
)

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
names = st.from_regex(r"[A-Z_][A-Z0-9_]{0,10}", fullmatch=True)
resources = st.builds(
    Resources,
    cpu=st.floats(0.1, 64),
    memory_bytes=st.integers(16 * 2**20, 2**40),
    pids=st.integers(8, 10**6),
)
containers = st.builds(
    Container,
    name=words,
    image=words,
    command=st.lists(words, min_size=1, max_size=3).map(tuple),
    environment=st.dictionaries(names.map("A".__add__), words, max_size=3),
    secrets=st.dictionaries(names.map("B".__add__), words, max_size=2),
    resources=resources,
    entrypoint=st.lists(words, max_size=2).map(tuple),
    shares_processes=st.booleans(),
    restarts=st.integers(0, 5),
)
pods = st.builds(
    WorkspacePod,
    ref=st.builds(PodRef, deployment=words, person=words, workspace=words),
    intent=words,
    main=containers,
    door=st.builds(Door, port=st.integers(1, 65535), ready_path=words, proof=words),
    start_timeout=st.integers(1, 3600),
    stop_grace=st.integers(0, 600),
    sidecars=st.lists(containers, max_size=2).map(tuple),
    volumes=st.lists(st.builds(Volume, name=words, external=words), max_size=2).map(tuple),
)

POD = WorkspacePod(
    ref=PodRef(deployment="d", person="p", workspace="w"),
    intent="i",
    main=Container(
        name="main",
        image="sha256:1",
        environment={"OPEN": "yes"},
        secrets={"TOKEN": "the-secret-value"},
        mounts=(Mount(volume="home", path="/home/researcher"),),
        resources=Resources(cpu=1, memory_bytes=2**30, pids=100),
    ),
    door=Door(port=8888),
    volumes=(Volume(name="home", external="home-d-p"),),
    start_timeout=60,
    stop_grace=10,
)


@given(pods)
def test_a_pod_survives_json_without_its_secrets(pod):
    assert decode(json.loads(json.dumps(encode(pod)))) == without_secrets(pod)


def test_a_secret_is_neither_written_nor_shown():
    assert "the-secret-value" not in json.dumps(encode(POD))
    assert "the-secret-value" not in repr(POD)


@pytest.mark.parametrize("broken", [{}, [], {"ref": 1}, {**encode(POD), "extra": 1}])
def test_what_is_no_pod_is_not_decoded(broken):
    with pytest.raises(ValueError, match=r"is no|has no|not an encoded"):
        decode(broken)


@given(words, words, words, words)
def test_names_of_two_workspaces_differ(person, workspace, other_person, other_workspace):
    one = PodRef(deployment="d", person=person, workspace=workspace)
    other = PodRef(deployment="d", person=other_person, workspace=other_workspace)
    assert (one == other) == (one.name == other.name)


def test_a_sound_pod_passes():
    assert check(POD) is POD


def with_main(**changes):
    return replace(POD, main=replace(POD.main, **changes))


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        (replace(POD, sidecars=(POD.main,)), "same name"),
        (replace(POD, door=Door(port=0)), "port 0"),
        (replace(POD, volumes=()), "which the pod has not"),
        (replace(POD, volumes=POD.volumes * 2), "two volumes have the same name"),
        (with_main(mounts=(Mount(volume="home", path="/home//x/"),)), "no absolute path"),
        (with_main(mounts=(Mount(volume="home", path="home"),)), "no absolute path"),
        (with_main(mounts=(Mount(volume="home", path="/home/../etc"),)), "no absolute path"),
        (with_main(mounts=POD.main.mounts * 2), "at one place"),
        (with_main(environment={"A=B": "1"}), "no name for a variable"),
        (with_main(environment={"A": "1\0"}), "cannot be passed"),
        (with_main(environment={"TOKEN": "1"}), "both open and secret"),
        (with_main(image="", command=()), "nothing to run"),
        (with_main(shares_processes=True), "only a helper"),
        (with_main(resources=Resources(cpu=0, memory_bytes=2**30, pids=100)), "too small"),
    ],
)
def test_parts_that_do_not_fit_are_named(pod, words):
    with pytest.raises(ConfigError, match=words):
        check(pod)


def test_names_that_only_petrihub_may_set():
    mine = ["LD_PRELOAD", "PATH", "PYTHONPATH", "JUPYTERHUB_API_URL", "https_proxy", "NODE_OPTIONS"]
    assert reserved([*mine, "MY_SETTING"]) == sorted(mine)
