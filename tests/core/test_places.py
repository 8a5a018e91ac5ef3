"""Which places a person has, and that no two of them are the same outside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petrihub_core import groups
from petrihub_core.database import Database
from petrihub_core.errors import Refused
from petrihub_core.names import new_group_name
from petrihub_core.people import LOCAL_ISSUER, person_for
from petrihub_core.places import (
    Kind,
    Place,
    every_place,
    external,
    home_of,
    kept,
    places_of,
    places_of_many,
)
from petrihub_core.records import Person, RoleGrant
from petrihub_core.roles import SUPER_ADMIN, Actor, Permission

BOSS = Actor("boss", frozenset(Permission))


@pytest.fixture
async def ada(database: Database) -> str:
    async with database.session() as session:
        person = await person_for(session, LOCAL_ISSUER, "ada", username="ada")
        for name, title in (("imaging", "Light sheet"), ("genomics", "Genomics")):
            await groups.make(session, BOSS, name=name, title=title)
        await groups.add_member(session, BOSS, "imaging", "ada")
    return person.id


async def now(database: Database, person: str) -> tuple[Place, ...]:
    async with database.reading() as session:
        return await places_of(session, person)


async def test_home_then_own_groups_then_public(database: Database, ada: str) -> None:
    home, imaging, public = await now(database, ada)
    assert home == home_of(ada)
    assert (imaging.volume, imaging.path) == ("shared-imaging", "/mnt/shared/imaging")
    assert (imaging.title, imaging.read_only) == ("Light sheet", False)
    assert (public.volume, public.path, public.read_only) == ("public", "/mnt/public", True)


async def test_who_curates_content_writes_to_public(database: Database, ada: str) -> None:
    for role, writes in (("auditor", False), ("content-admin", True), (SUPER_ADMIN, True)):
        async with database.session() as session:
            session.add(RoleGrant(person_id=ada, role=role, granted_by="tests"))
        assert (await now(database, ada))[-1].read_only is not writes, role


async def test_who_is_not_active_has_none(database: Database, ada: str) -> None:
    async with database.session() as session:
        (await session.get_one(Person, ada)).active = False
    assert await now(database, ada) == ()
    async with database.reading() as session:
        assert await places_of_many(session, [ada, "nobody"]) == {ada: (), "nobody": ()}


async def test_a_new_group_of_an_old_name_gets_none_of_its_files(
    database: Database, ada: str
) -> None:
    """A49: and what the deleted one had is still known, with its title."""
    before = (await now(database, ada))[1].external("d")
    async with database.session() as session:
        await groups.delete_group(session, BOSS, "imaging")
        assert [place.kind for place in await places_of(session, ada)] == [Kind.HOME, Kind.PUBLIC]
        await groups.make(session, BOSS, name="imaging", title="Another")
        await groups.add_member(session, BOSS, "imaging", "ada")
    again = (await now(database, ada))[1].external("d")
    assert again != before
    async with database.reading() as session:
        assert [row.title for row in await kept(session)] == ["Light sheet (imaging)"]
        assert {before, again} <= (await every_place(session, "d")).keys()


HOSTILE = [
    *(
        "..",
        ".",
        "/",
        "a/b",
        "../x",
        "a\0b",
        "a b",
        "",
        "-a",
        "a..b",
        "ａ/b",
        "a\u2044b",
        "a\u2215b",
    ),
    *("a\u202eb", "gr\u00fcn", "\u0430bc", "a\u200bb", "x" * 33, "a\n", "$(id)", "con", "groups"),
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_name_that_would_be_another_path_is_no_groups(name: str) -> None:
    """A49: separators, look-alikes and turned writing; what is only written differently folds."""
    if name == "a\n":
        assert new_group_name(name) == "a"
        return
    with pytest.raises(Refused):
        new_group_name(name)


@given(st.text())
def test_whatever_is_a_groups_name_is_one_plain_folder(raw: str) -> None:
    """A49."""
    try:
        name = new_group_name(raw)
    except Refused:
        return
    assert name.isascii()
    assert name.replace("-", "a").isalnum()


ids = st.text("0123456789abcdef-", min_size=1, max_size=4)


@given(ids, st.sampled_from(Kind), ids, ids, st.sampled_from(Kind), ids)
def test_no_two_places_share_a_name_outside(
    deployment: str, kind: Kind, subject: str, other: str, other_kind: Kind, other_subject: str
) -> None:
    """A49: not of two deployments either."""
    one, two = (deployment, kind, subject), (other, other_kind, other_subject)
    assert (external(*one) == external(*two)) == (one == two)
    assert external(deployment, Kind.PUBLIC, "") != external(deployment, kind, subject)
