"""The closed schema of a start: two ids, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petrihub_core.deployment import Deployment
from petrihub_core.errors import Refused
from petrihub_spawner.choices import read_choices, read_form

DEPLOYMENT = Deployment()
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)


def test_a_profile_and_its_size():
    choices = read_choices({"profile": "notebooks", "size": "medium"}, DEPLOYMENT)
    assert choices.options() == {"profile": "notebooks", "size": "medium"}
    assert choices.size.memory_gib == 4


def test_what_is_left_out_is_the_first_that_is_offered():
    assert read_choices({}, DEPLOYMENT).options() == {"profile": "bio-studio", "size": "medium"}
    assert read_choices({"profile": "notebooks"}, DEPLOYMENT).options()["size"] == "small"


@given(anything)
def test_whatever_comes_is_a_choice_of_ours_or_refused_in_words(options):
    refusal = None
    try:
        choices = read_choices(options, DEPLOYMENT)
    except Refused as exc:
        refusal = exc
    if refusal:
        assert refusal.status == 400
        assert refusal.hint
        assert len(refusal.message) < 500
    else:
        assert choices.size.id in choices.profile.sizes
        assert set(options) <= {"profile", "size"}


@pytest.mark.parametrize(
    "name",
    ["privileged", "binds", "network_mode", "cap_add", "devices", "image", "env", "LD_PRELOAD",
     "PATH", "PYTHONPATH", "JUPYTERHUB_API_URL", "HTTPS_PROXY", "NODE_OPTIONS", "opt-profile"],
)  # fmt: skip
def test_forged_fields_are_refused(name):
    with pytest.raises(Refused, match=name):
        read_choices({"profile": "notebooks", name: "x"}, DEPLOYMENT)


def test_deep_and_large_values_are_refused():
    deep = {}
    for _ in range(100_000):
        deep = {"profile": deep}
    for value in (deep, "x" * 10_000_000, "notebooks\nPATH=/evil", b"notebooks", object()):
        with pytest.raises(Refused):
            read_choices({"profile": value}, DEPLOYMENT)


def test_a_form_field_is_given_once():
    assert read_form({"profile": ["a"], "_xsrf": ["t"]}) == {"profile": "a"}
    with pytest.raises(Refused, match="2 times"):
        read_form({"profile": ["a", "b"]})
