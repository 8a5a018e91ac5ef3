"""The menu: what a person is offered, and the rule in words for what they are not."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from petrihub_core import settings
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment, Profile, Size
from petrihub_core.menu import Menu, MenuSettings, Standing, judge, menu_of, offered_to
from petrihub_core.records import Allowance, Group, GroupMember, Person, now
from petrihub_core.settings.pages import LimitsSettings

SMALL = Size(id="small", title="Small", cpu=1, memory_gib=2)
HUGE = Size(id="huge", title="Huge", cpu=64, memory_gib=512, groups=("imaging", "genomics"))
OPEN = Profile(id="open", title="Open", sizes=("small", "huge"))
SECRET = Profile(id="secret", title="Secret", sizes=("small",), groups=("imaging",))
MENU = Menu(sizes=(SMALL, HUGE), profiles=(OPEN, SECRET), app_groups={"igv": ("imaging",)})
SAVED = MenuSettings(sizes=MENU.sizes, profiles=MENU.profiles, app_groups=dict(MENU.app_groups))


def offered(standing: Standing):
    return judge(MENU, standing, workspaces_per_person=3, titles={"imaging": "Imaging core"})


def test_without_a_group_the_open_things_are_offered_and_the_rest_says_whom_it_is_for():
    mine = offered(Standing())
    assert mine.profile("open").refusal == ""
    assert mine.profile("open").size("small").refusal == ""
    assert (
        mine.profile("open").size("huge").refusal
        == "Huge is for the groups Imaging core and genomics. You can ask for it."
    )
    assert mine.profile("secret").refusal == (
        "Secret is for the group Imaging core. You can ask to join."
    )
    assert mine.app_refusal("igv") == "This app is for the group Imaging core. You can ask for it."
    assert mine.app_refusal("vscode") == ""


def test_one_of_the_named_groups_suffices():
    mine = offered(Standing(groups=frozenset({"genomics"})))
    assert mine.profile("open").size("huge").refusal == ""
    assert mine.profile("secret").refusal
    theirs = offered(Standing(groups=frozenset({"imaging"})))
    assert not theirs.profile("secret").refusal
    assert not theirs.app_refusal("igv")


def test_an_allowance_gives_the_size_or_the_app_but_no_profile_of_the_same_id():
    mine = offered(Standing(allowances=frozenset({("size", "huge"), ("size", "secret")})))
    assert not mine.profile("open").size("huge").refusal
    assert mine.profile("secret").refusal
    assert mine.app_refusal("igv")
    assert not offered(Standing(allowances=frozenset({("app", "igv")}))).app_refusal("igv")


def test_a_default_profile_that_is_gone_preselects_nothing():
    assert offered(Standing(default_profile="secret")).preferred == "secret"
    assert offered(Standing(default_profile="gone")).preferred == ""


@pytest.mark.parametrize(
    ("sizes", "profiles", "words"),
    [
        ((SMALL, SMALL), (OPEN,), "two sizes have the same id"),
        ((SMALL, HUGE), (OPEN, OPEN), "two profiles have the same id"),
        ((SMALL,), (OPEN,), "offers size 'huge'"),
        ((SMALL,), (), "at least one size and one profile"),
    ],
)
def test_a_menu_that_does_not_fit_is_refused(sizes, profiles, words):
    with pytest.raises(ValidationError, match=words):
        MenuSettings(sizes=sizes, profiles=profiles)


async def add_person(database: Database) -> str:
    async with database.session() as session:
        person = Person(issuer="local", subject="ada", username="ada")
        session.add(person)
        for name, limit, profile in (("genomics", 5, None), ("imaging", 2, "secret")):
            group = Group(name=name, title=name, workspaces_limit=limit, default_profile=profile)
            session.add(group)
            await session.flush()
            session.add(GroupMember(group_id=group.id, person_id=person.id))
    return person.id


async def test_the_files_menu_is_in_force_until_one_is_saved(database: Database):
    deployment = Deployment()
    async with database.reading() as session:
        menu = await menu_of(session, deployment)
    assert (menu.version, menu.profiles) == (0, deployment.profiles)
    async with database.session() as session:
        await settings.write(session, SAVED, by="boss")
    async with database.reading() as session:
        menu = await menu_of(session, deployment)
    assert (menu.version, menu.profiles) == (1, (OPEN, SECRET))
    assert menu.app_groups == {"igv": ("imaging",)}


async def test_groups_limits_and_allowances_of_a_person_count(database: Database):
    person = await add_person(database)
    async with database.session() as session:
        await settings.write(session, SAVED, by="boss")
        await settings.write(session, LimitsSettings(workspaces_per_person=9), by="boss")
    async with database.reading() as session:
        mine = await offered_to(session, Deployment(), person)
        stranger = await offered_to(session, Deployment(), "nobody")
    assert (mine.preferred, mine.workspaces_limit) == ("secret", 5)
    assert not mine.profile("secret").refusal
    assert (stranger.preferred, stranger.workspaces_limit) == ("", 9)
    assert stranger.profile("secret").refusal


async def test_an_allowance_ends_when_its_time_is_over(database: Database):
    async with database.session() as session:
        await settings.write(session, SAVED, by="boss")
        for name, hours in (("early", -1), ("late", 1)):
            session.add(Person(id=name, issuer="local", subject=name, username=name))
            await session.flush()
            until = now() + timedelta(hours=hours)
            session.add(
                Allowance(
                    person_id=name, kind="size", subject="huge", granted_by="boss", until=until
                )
            )
    async with database.reading() as session:
        early = await offered_to(session, Deployment(), "early")
        late = await offered_to(session, Deployment(), "late")
    assert early.profile("open").size("huge").refusal
    assert not late.profile("open").size("huge").refusal
