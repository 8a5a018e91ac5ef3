"""The closed schema of a start: ids of what is offered, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.deployment import Deployment
from petrihub_core.errors import NotAllowed, Refused
from petrihub_core.menu import Menu, Standing, judge, menu_in_file
from petrihub_core.records import now
from petrihub_spawner.choices import read_choices, read_form


def offered(menu: Menu, standing: Standing = Standing()):  # noqa: B008 - frozen
    return judge(menu, standing, workspaces_per_person=3)


MENU = menu_in_file(Deployment())
OFFERED = offered(MENU)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)


def test_a_profile_and_its_size():
    choices = read_choices({"profile": "notebooks", "size": "medium"}, OFFERED)
    assert choices.options() == {"profile": "notebooks", "size": "medium"}
    assert choices.size.memory_gib == 4


def test_what_is_left_out_is_the_first_that_is_offered():
    assert read_choices({}, OFFERED).options() == {"profile": "bio-studio", "size": "medium"}
    assert read_choices({"profile": "notebooks"}, OFFERED).options()["size"] == "small"


@given(anything)
def test_whatever_comes_is_a_choice_of_ours_or_refused_in_words(options):
    refusal = None
    try:
        choices = read_choices(options, OFFERED)
    except Refused as exc:
        refusal = exc
    if refusal:
        assert refusal.status == 400
        assert refusal.hint
        assert len(refusal.message) < 500
    else:
        assert choices.size.id in choices.profile.sizes
        assert set(options) <= {"profile", "size", "checkpoint"}


@pytest.mark.parametrize(
    "name",
    ["privileged", "binds", "network_mode", "cap_add", "devices", "image", "env", "LD_PRELOAD",
     "PATH", "PYTHONPATH", "JUPYTERHUB_API_URL", "HTTPS_PROXY", "NODE_OPTIONS", "opt-profile"],
)  # fmt: skip
def test_forged_fields_are_refused(name):
    with pytest.raises(Refused, match=name):
        read_choices({"profile": "notebooks", name: "x"}, OFFERED)


def test_deep_and_large_values_are_refused():
    deep = {}
    for _ in range(100_000):
        deep = {"profile": deep}
    for value in (deep, "x" * 10_000_000, "notebooks\nPATH=/evil", b"notebooks", object()):
        with pytest.raises(Refused):
            read_choices({"profile": value}, OFFERED)


def restricted() -> Menu:
    large = MENU.size("large").model_copy(update={"groups": ("imaging",)})
    bio = MENU.profile("bio-studio").model_copy(update={"groups": ("imaging",)})
    sizes = tuple(large if size.id == "large" else size for size in MENU.sizes)
    open_to_all = MENU.profile("notebooks").model_copy(update={"sizes": ("large", "small")})
    return Menu(sizes=sizes, profiles=(bio, open_to_all))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"profile": "bio-studio"}, "Bio studio is for the group imaging"),
        ({"profile": "notebooks", "size": "large"}, "Large is for the group imaging"),
    ],
)
def test_what_is_for_others_is_refused_with_the_rule_and_whom_to_ask(options, words):
    mine = offered(restricted())
    with pytest.raises(NotAllowed, match=words) as refusal:
        read_choices(options, mine, contact="it@lab.example")
    assert refusal.value.hint == "Ask it@lab.example."
    theirs = offered(restricted(), Standing(groups=frozenset({"imaging"})))
    assert read_choices(options, theirs).options()["profile"] == options["profile"]


def test_what_is_left_out_is_the_first_that_is_this_persons():
    mine = offered(restricted())
    assert read_choices({}, mine).options() == {"profile": "notebooks", "size": "small"}
    standing = Standing(groups=frozenset({"imaging"}), default_profile="notebooks")
    theirs = offered(restricted(), standing)
    assert read_choices({}, theirs).options() == {"profile": "notebooks", "size": "large"}


def test_a_form_field_is_given_once():
    assert read_form({"profile": ["a"], "_xsrf": ["t"]}) == {"profile": "a"}
    with pytest.raises(Refused, match="2 times"):
        read_form({"profile": ["a", "b"]})


def saved(**values: str) -> Checkpoint:
    about = {"id": "1" * 32, "base_image": "petrihub/bio", **values}
    return Checkpoint(
        owner="p1",
        workspace="study",
        sequence=1,
        name="with DESeq2",
        author="ada",
        instance="i1",
        profile="bio-studio",
        size="small",
        base_digest="sha256:" + "2" * 64,
        manifest_digest="sha256:" + "3" * 64,
        kind="save",
        state="done",
        deadline=now(),
        **about,
    )


def test_a_checkpoint_of_ones_own_is_a_choice():
    options = {"profile": "bio-studio", "size": "small", "checkpoint": "1" * 32}
    choices = read_choices(options, OFFERED, saved=[saved()])
    assert choices.options() == options
    fresh = read_choices({**options, "checkpoint": ""}, OFFERED, saved=[saved()])
    assert fresh.options() == {"profile": "bio-studio", "size": "small"}


@pytest.mark.parametrize(
    ("checkpoint", "profile", "words"),
    [
        ("4" * 32, "bio-studio", "no such checkpoint"),  # another's, deleted, or never there
        ("1" * 32, "notebooks", "saved in another image"),
        ("../x", "bio-studio", "no such checkpoint"),
    ],
)
def test_a_checkpoint_that_is_not_ones_own_or_does_not_fit_is_refused(checkpoint, profile, words):
    options = {"profile": profile, "size": "small", "checkpoint": checkpoint}
    with pytest.raises(Refused, match=words):
        read_choices(options, OFFERED, saved=[saved()])
