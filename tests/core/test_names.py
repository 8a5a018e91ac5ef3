"""Names: always valid, never colliding."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petrihub_core.errors import Refused
from petrihub_core.names import external_name, normalise_username, normalise_workspace

LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
anything = st.text(max_size=80)


@given(st.lists(anything, max_size=4))
def test_any_parts_give_a_dns_label(parts: list[str]) -> None:
    name = external_name("ws", *parts)
    assert len(name) <= 63
    assert LABEL.fullmatch(name)


@given(st.lists(anything, min_size=1, max_size=4), st.lists(anything, min_size=1, max_size=4))
def test_different_parts_give_different_names(one: list[str], other: list[str]) -> None:
    assert (external_name("ws", *one) == external_name("ws", *other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b-c"), ("a-b", "c")),
        (("a", "b", ""), ("a", "b")),
        (("A",), ("a",)),
        (("é",), ("e",)),
        (("x" * 70 + "1",), ("x" * 70 + "2",)),
        (("1:a", "b"), ("1", "a", "b")),
    ],
)
def test_lookalikes_stay_apart(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """A49: containers, volumes, networks and their DNS names come from here."""
    assert external_name("ws", *one) != external_name("ws", *other)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("ada", "ada"), ("  Ada ", "ada"), ("ＡＤＡ", "ada"), ("ada.l-2_x", "ada.l-2_x")],
)
def test_one_person_has_one_name(typed: str, kept: str) -> None:
    assert normalise_username(typed) == kept


@given(anything)
def test_a_normalised_name_is_its_own_norm(raw: str) -> None:
    try:
        name = normalise_username(raw)
    except Refused:
        return
    assert normalise_username(name) == name


@pytest.mark.parametrize(
    "raw", ["", " ", ".ada", "a/b", "a" * 33, "ada\n", "ада", "a\x00", "../hub", "x" * 10**6, "ß "]
)
def test_what_is_no_name_is_refused_in_words(raw: str) -> None:
    # "ada\n" is stripped to a name by design; all others have none
    if raw.strip() == "ada":
        assert normalise_username(raw) == "ada"
        return
    if raw.strip() == "ß":
        assert normalise_username(raw) == "ss"
        return
    with pytest.raises(Refused, match="not a usable name") as refusal:
        normalise_username(raw)
    assert "letters a to z" in refusal.value.hint
    assert len(refusal.value.jupyterhub_message) < 300


@pytest.mark.parametrize("raw", ["", "a.b", "a b", "-a", "a_b", "x" * 33])
def test_what_is_no_workspace_name_is_refused(raw: str) -> None:
    with pytest.raises(Refused):
        normalise_workspace(raw)
