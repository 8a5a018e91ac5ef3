"""What administrators do with people, with real tables."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select

from petrihub_authenticators import accounts, bootstrap, links, redemption
from petrihub_authenticators.accounts import Newcomer
from petrihub_authenticators.links import Kind
from petrihub_core import audit
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Conflict, NotAllowed, NotFound, PetriHubError, Refused
from petrihub_core.people import LOCAL_ISSUER, by_username
from petrihub_core.records import AuditRow, Person, RoleGrant, SignInLink, new_id
from petrihub_core.roles import SUPER_ADMIN, Actor, Permission, roles_of
from petrihub_portal import directory
from petrihub_portal.directory import PeopleFilter

from tests.authenticators.conftest import actor_of

AddPerson = Callable[..., Awaitable[str]]


@pytest.fixture
async def boss(database: Database, add_person: AddPerson) -> Actor:
    return await actor_of(database, await add_person(database, SUPER_ADMIN, name="boss"))


async def do(database: Database, deed: Any, *arguments: Any, **more: Any) -> Any:
    async with database.session() as session:
        return await deed(session, *arguments, **more)


async def states(database: Database) -> list[tuple[str, str]]:
    async with database.reading() as session:
        found = await directory.people(session, PeopleFilter(), limit=50, offset=0)
    return [(line.person.username, line.state.value) for line in found.items]


async def invited(database: Database) -> list[SignInLink]:
    async with database.reading() as session:
        return (await directory.invitations(session, limit=50, offset=0)).items


async def roles(database: Database, name: str) -> list[str]:
    async with database.reading() as session:
        return await roles_of(session, (await accounts.find(session, name)).id)


async def test_a_name_makes_the_account_at_once(database: Database, boss: Actor) -> None:
    who = Newcomer(name=" Ada ", email="ada@lab.example", role="auditor")
    code = await do(database, accounts.add, boss, who)
    assert await states(database) == [("ada", "invited"), ("boss", "active")]
    assert await roles(database, "ada") == ["auditor"]
    async with database.session() as session:
        done = await redemption.redeem(session, code, name="", password_hash="$x")
        assert done.person.email == "ada@lab.example"
    assert await states(database) == [("ada", "active"), ("boss", "active")]


async def test_no_name_makes_an_open_invitation(database: Database, boss: Actor) -> None:
    await do(database, accounts.add, boss, Newcomer(role="user-admin", email="ada@lab.example"))
    (link,) = await invited(database)
    assert (link.role, link.created_by, link.username) == ("user-admin", "boss", None)
    assert link.email == "ada@lab.example"
    await do(database, accounts.withdraw, boss, link.id)
    assert await invited(database) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "boss"}, "already somebody"),
        ({"name": "ＢＯＳＳ"}, "already somebody"),
        ({"name": "../etc"}, "not a usable name"),
        ({"name": ".."}, "not a usable name"),
        ({"name": "admin"}, "kept for the platform"),
        ({"name": "Hub"}, "kept for the platform"),
        ({"name": "con"}, "kept for the platform"),
        ({"name": "con.txt"}, "kept for the platform"),
        ({"name": "x" * 33}, "not a usable name"),
        ({"name": "ada\nroot"}, "not a usable name"),
        ({"name": "ada", "role": "owner"}, "no role"),
        ({"name": "ada", "role": ""}, "no role"),
        ({"name": "ada", "email": "nobody"}, "not an e-mail"),
        ({"name": "ada", "email": "a@b.c\nBcc: x@y.z"}, "not an e-mail"),
        ({"name": "ada", "email": "<script>@b.c"}, "not an e-mail"),
        ({"name": "ada", "groups": ("no-such-group",)}, "no group"),
    ],
)
async def test_wrong_newcomers_are_refused(
    database: Database, boss: Actor, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises((Refused, Conflict), match=words):
        await do(database, accounts.add, boss, Newcomer(**wrong))
    assert await states(database) == [("boss", "active")]
    assert await invited(database) == []


async def test_whoever_holds_nothing_does_nothing(
    database: Database, boss: Actor, add_person: AddPerson
) -> None:
    ada = await add_person(database, name="ada")
    gone = await actor_of(database, await add_person(database, SUPER_ADMIN, name="gone"))
    auditor = await actor_of(database, await add_person(database, "auditor", name="eyes"))
    await do(database, accounts.deactivate, boss, "gone")
    # `gone` still has in hand what they were allowed a moment ago
    for actor in (await actor_of(database, ada), gone, auditor, Actor("nobody"), Actor("operator")):
        for deed, arguments in (
            (accounts.new_link, ("boss",)),
            (accounts.change_roles, (ada, [SUPER_ADMIN])),
            (accounts.deactivate, (ada,)),
            (accounts.activate, ("gone",)),
            (accounts.set_email, (ada, "x@y.example")),
            (accounts.add, (Newcomer(name="eve", role="auditor"),)),
        ):
            with pytest.raises(NotAllowed):
                await do(database, deed, actor, *arguments)
    with pytest.raises(NotAllowed):
        await do(database, accounts.withdraw, auditor, "0" * 32)


async def test_nobody_reaches_upwards(
    database: Database, boss: Actor, add_person: AddPerson
) -> None:
    small = await actor_of(database, await add_person(database, "user-admin", name="small"))
    await add_person(database, "technical-admin", name="tech")
    await do(database, accounts.add, boss, Newcomer(role=SUPER_ADMIN))
    (open_to_boss,) = await invited(database)
    for above in ("boss", "tech"):
        for deed, arguments in (
            (accounts.new_link, ()),
            (accounts.deactivate, ()),
            (accounts.activate, ()),
            (accounts.set_email, ("x@y.example",)),
            (accounts.change_roles, ([],)),
        ):
            with pytest.raises(NotAllowed, match="more than you"):
                await do(database, deed, small, above, *arguments)
    with pytest.raises(NotAllowed, match="more than you"):
        await do(database, accounts.withdraw, small, open_to_boss.id)
    for role in (SUPER_ADMIN, "technical-admin", "auditor", "content-admin"):
        with pytest.raises(NotAllowed, match="more than you"):
            await do(database, accounts.change_roles, small, "small", ["user-admin", role])
        with pytest.raises(NotAllowed, match="more than you"):
            await do(database, accounts.add, small, Newcomer(name="eve", role=role))
    assert await roles(database, "small") == ["user-admin"]
    assert await roles(database, "tech") == ["technical-admin"]


async def test_a_token_with_fewer_scopes_reaches_less_far(
    database: Database, boss: Actor, add_person: AddPerson
) -> None:
    await add_person(database, "user-admin", name="small")
    narrow = replace(boss, permissions=frozenset({Permission.PEOPLE_WRITE, Permission.PEOPLE_READ}))
    with pytest.raises(NotAllowed):
        await do(database, accounts.deactivate, narrow, "small")
    with pytest.raises(NotAllowed):
        await do(database, accounts.add, narrow, Newcomer(name="eve", role="auditor"))


async def test_there_is_always_a_super_admin_left(database: Database, boss: Actor) -> None:
    with pytest.raises(Conflict, match="only super admin"):
        await do(database, accounts.change_roles, boss, "boss", ["user-admin"])
    with pytest.raises(Conflict, match="yourself"):
        await do(database, accounts.deactivate, boss, "boss")
    operator = Actor("operator", frozenset(Permission))
    with pytest.raises(Conflict, match="only super admin"):
        await do(database, accounts.deactivate, operator, "boss")


@pytest.mark.parametrize("others", [0, 1])
async def test_of_two_who_remove_each_other_at_once_one_stays(
    database: Database, database_url: str, boss: Actor, add_person: AddPerson, others: int
) -> None:
    """Also with a third one there, who makes sure that it is not the last one who is kept."""
    rival = await actor_of(database, await add_person(database, SUPER_ADMIN, name="rival"))
    for number in range(others):
        await add_person(database, SUPER_ADMIN, name=f"third{number}")
    second = Database.open(database_url)
    outcomes = await asyncio.gather(
        do(database, accounts.change_roles, boss, "rival", []),
        do(second, accounts.deactivate, rival, "boss"),
        return_exceptions=True,
    )
    await second.close()
    assert sum(isinstance(outcome, PetriHubError) for outcome in outcomes) == 1, outcomes
    async with database.reading() as session:
        left = select(func.count(RoleGrant.person_id)).join(Person)
        left = left.where(RoleGrant.role == SUPER_ADMIN, Person.active)
        assert await session.scalar(left) == 1 + others


async def test_links_do_not_outlive_the_right_to_make_them(
    database: Database, boss: Actor, add_person: AddPerson
) -> None:
    """Otherwise who is dismissed could still let themselves in as somebody else."""
    await add_person(database, name="ada")
    for name, deed, arguments in (
        ("first", accounts.deactivate, ()),
        ("second", accounts.change_roles, ([],)),
    ):
        leaving = await actor_of(database, await add_person(database, "user-admin", name=name))
        invitation = await do(database, accounts.add, leaving, Newcomer(role="user-admin"))
        password = await do(database, accounts.new_link, leaving, "ada")
        await do(database, deed, boss, name, *arguments)
        for code in (invitation, password):
            with pytest.raises(Conflict, match="withdrawn"):
                await do(database, links.look, code)


async def test_open_invitations_of_one_person_are_bounded(
    database: Database, boss: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "MOST_INVITATIONS", 2)
    for _ in range(2):
        await do(database, accounts.add, boss, Newcomer())
    with pytest.raises(Conflict, match="open invitations"):
        await do(database, accounts.add, boss, Newcomer())


async def test_deactivation_closes_open_links(
    database: Database, boss: Actor, add_person: AddPerson
) -> None:
    ada = await add_person(database, name="ada")
    code = await do(database, accounts.new_link, boss, ada)
    await do(database, accounts.deactivate, boss, ada)
    with pytest.raises(Conflict, match="withdrawn"):
        await do(database, links.look, code)
    with pytest.raises(Conflict, match="deactivated"):
        await do(database, accounts.new_link, boss, ada)
    await do(database, accounts.activate, boss, ada)
    assert await do(database, accounts.new_link, boss, ada)


async def test_who_never_signed_in_gets_an_invitation_again(
    database: Database, boss: Actor
) -> None:
    first = await do(database, accounts.add, boss, Newcomer(name="ada"))
    second = await do(database, accounts.new_link, boss, "ada")
    with pytest.raises(Conflict, match="replaced by a newer"):
        await do(database, links.look, first)
    assert (await do(database, links.look, second)).kind == Kind.INVITE


async def test_people_of_other_providers_have_no_password_here(
    database: Database, boss: Actor
) -> None:
    async with database.session() as session:
        session.add(Person(issuer="https://idp.example", subject="1", username="far"))
    with pytest.raises(Conflict, match="no password here"):
        await do(database, accounts.new_link, boss, "far")


async def test_every_change_has_its_row(
    database: Database, boss: Actor, add_person: AddPerson
) -> None:
    ada = await add_person(database, name="ada")
    await do(database, accounts.change_roles, boss, ada, ["auditor"])
    await do(database, accounts.change_roles, boss, ada, [])
    await do(database, accounts.deactivate, boss, ada)
    await do(database, accounts.activate, boss, ada)
    await do(database, accounts.new_link, boss, ada)
    async with database.session() as session:
        rows = list(await session.scalars(select(AuditRow).order_by(AuditRow.seq)))
        assert [(row.actor, row.action, row.target) for row in rows] == [
            ("boss", "person.roles", ada),
            ("boss", "person.roles", ada),
            ("boss", "person.deactivated", ada),
            ("boss", "person.activated", ada),
            ("boss", "link.reset.made", ada),
        ]
        assert await audit.verify(session) is None


async def test_a_change_that_is_refused_leaves_nothing(database: Database, boss: Actor) -> None:
    with pytest.raises(NotFound):
        await do(database, accounts.deactivate, boss, "nobody")
    with pytest.raises(NotFound):
        await do(database, accounts.new_link, boss, "../../etc")
    async with database.session() as session:
        assert await session.scalar(select(func.count()).select_from(AuditRow)) == 0


class TestCommandLine:
    """What `petrihub admin` calls."""

    @pytest.fixture
    def deployment(self, database_url: str) -> Deployment:
        return Deployment.model_validate(
            {"database": {"url": database_url}, "address": {"port": 8123}}
        )

    async def test_first_admin_then_reset(self, database: Database, deployment: Deployment) -> None:
        assert await bootstrap.admin_exists(deployment) is False
        link = await bootstrap.first_admin_link(deployment)
        assert link.startswith("http://127.0.0.1:8123/hub/welcome#")
        async with database.session() as session:
            await redemption.redeem(session, link, name="marie", password_hash="$x")
        assert await bootstrap.admin_exists(deployment) is True
        with pytest.raises(Conflict, match="administrator already"):
            await bootstrap.first_admin_link(deployment)
        again = await bootstrap.reset_link(deployment, "MARIE")
        assert (await do(database, links.look, again)).kind == Kind.RESET
        with pytest.raises(NotFound):
            await bootstrap.reset_link(deployment, "nobody")

    async def test_an_admin_who_cannot_sign_in_does_not_count(
        self, database: Database, deployment: Deployment
    ) -> None:
        async with database.session() as session:
            ghost = Person(issuer=LOCAL_ISSUER, subject=new_id(), username="ghost")
            session.add(ghost)
            await session.flush()
            session.add(RoleGrant(person_id=ghost.id, role=SUPER_ADMIN, granted_by="tests"))
        assert await bootstrap.admin_exists(deployment) is False
        assert await bootstrap.first_admin_link(deployment)
        async with database.session() as session:
            assert await by_username(session, "ghost") is not None
