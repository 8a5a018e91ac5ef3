"""What administrators do with people, with real tables."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from petrihub_authenticators import accounts, bootstrap, links, redemption
from petrihub_authenticators.links import Kind
from petrihub_core import audit
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Conflict, NotAllowed, NotFound, PetriHubError, Refused
from petrihub_core.people import LOCAL_ISSUER, by_username
from petrihub_core.records import AuditRow, Person, new_id

AddPerson = Callable[..., Awaitable[str]]


@pytest.fixture
async def boss(database: Database, add_person: AddPerson) -> str:
    return await add_person(database, role="admin", name="boss")


async def do(database: Database, deed: Any, *arguments: str, **more: str) -> Any:
    async with database.session() as session:
        return await deed(session, *arguments, **more)


async def test_a_name_makes_the_account_at_once(database: Database, boss: str) -> None:
    code = await do(database, accounts.add, boss, name=" Ada ", role="researcher")
    lines = await do(database, accounts.everyone)
    assert [(line.person.username, line.state) for line in lines] == [
        ("ada", "invited"),
        ("boss", "active"),
    ]
    async with database.session() as session:
        await redemption.redeem(session, code, name="", password_hash="$x")
    assert [line.state for line in await do(database, accounts.everyone)] == ["active", "active"]


async def test_no_name_makes_an_open_invitation(database: Database, boss: str) -> None:
    await do(database, accounts.add, boss, name="", role="admin")
    (link,) = await do(database, accounts.invitations)
    assert (link.role, link.created_by, link.username) == ("admin", boss, None)
    await do(database, accounts.withdraw, boss, link.id)
    assert await do(database, accounts.invitations) == []


@pytest.mark.parametrize(
    ("name", "role", "words"),
    [
        ("boss", "researcher", "already somebody"),
        ("ＢＯＳＳ", "researcher", "already somebody"),
        ("../etc", "researcher", "not a usable name"),
        ("x" * 33, "researcher", "not a usable name"),
        ("ada\nroot", "researcher", "not a usable name"),
        ("ada", "owner", "no such role"),
        ("ada", "", "no such role"),
    ],
)
async def test_wrong_names_and_roles_are_refused(
    database: Database, boss: str, name: str, role: str, words: str
) -> None:
    with pytest.raises((Refused, Conflict), match=words):
        await do(database, accounts.add, boss, name=name, role=role)
    assert len(await do(database, accounts.everyone)) == 1
    assert await do(database, accounts.invitations) == []


async def test_only_an_active_administrator_acts(
    database: Database, boss: str, add_person: AddPerson
) -> None:
    ada = await add_person(database, name="ada")
    gone = await add_person(database, name="gone", role="admin")
    await do(database, accounts.deactivate, boss, gone)
    for actor in (ada, gone, "nobody", "", "operator"):
        for deed, arguments in (
            (accounts.new_link, (boss,)),
            (accounts.set_role, (ada, "admin")),
            (accounts.deactivate, (boss,)),
            (accounts.activate, (gone,)),
            (accounts.withdraw, ("0" * 32,)),
        ):
            with pytest.raises(NotAllowed):
                await do(database, deed, actor, *arguments)
        with pytest.raises(NotAllowed):
            await do(database, accounts.add, actor, name="eve", role="admin")


async def test_there_is_always_an_administrator_left(database: Database, boss: str) -> None:
    with pytest.raises(Conflict, match="only administrator"):
        await do(database, accounts.set_role, boss, boss, "researcher")
    with pytest.raises(Conflict, match="yourself"):
        await do(database, accounts.deactivate, boss, boss)


async def test_two_who_remove_each_other_at_once_leave_one(
    database: Database, database_url: str, boss: str, add_person: AddPerson
) -> None:
    other = await add_person(database, name="other", role="admin")
    second = Database.open(database_url)
    outcomes = await asyncio.gather(
        do(database, accounts.set_role, boss, other, "researcher"),
        do(second, accounts.set_role, other, boss, "researcher"),
        return_exceptions=True,
    )
    await second.close()
    assert sum(isinstance(outcome, PetriHubError) for outcome in outcomes) == 1, outcomes
    async with database.session() as session:
        admins = select(func.count()).select_from(Person).where(Person.role == "admin")
        assert await session.scalar(admins) == 1


async def test_deactivation_closes_open_links(
    database: Database, boss: str, add_person: AddPerson
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


async def test_who_never_signed_in_gets_an_invitation_again(database: Database, boss: str) -> None:
    first = await do(database, accounts.add, boss, name="ada", role="researcher")
    second = await do(database, accounts.new_link, boss, "ada")
    with pytest.raises(Conflict, match="replaced by a newer"):
        await do(database, links.look, first)
    assert (await do(database, links.look, second)).kind == Kind.INVITE


async def test_people_of_other_providers_have_no_password_here(
    database: Database, boss: str
) -> None:
    async with database.session() as session:
        session.add(Person(issuer="https://idp.example", subject="1", username="far"))
    with pytest.raises(Conflict, match="no password here"):
        await do(database, accounts.new_link, boss, "far")


async def test_every_change_has_its_row(
    database: Database, boss: str, add_person: AddPerson
) -> None:
    ada = await add_person(database, name="ada")
    await do(database, accounts.set_role, boss, ada, "admin")
    await do(database, accounts.set_role, boss, ada, "researcher")
    await do(database, accounts.deactivate, boss, ada)
    await do(database, accounts.activate, boss, ada)
    await do(database, accounts.new_link, boss, ada)
    async with database.session() as session:
        rows = list(await session.scalars(select(AuditRow).order_by(AuditRow.seq)))
        assert [(row.actor, row.action, row.target) for row in rows] == [
            (boss, "person.role", ada),
            (boss, "person.role", ada),
            (boss, "person.deactivated", ada),
            (boss, "person.activated", ada),
            (boss, "link.reset.made", ada),
        ]
        assert await audit.verify(session) is None


async def test_a_change_that_is_refused_leaves_nothing(database: Database, boss: str) -> None:
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
            await redemption.redeem(session, link, name="boss", password_hash="$x")
        assert await bootstrap.admin_exists(deployment) is True
        with pytest.raises(Conflict, match="administrator already"):
            await bootstrap.first_admin_link(deployment)
        again = await bootstrap.reset_link(deployment, "BOSS")
        assert (await do(database, links.look, again)).kind == Kind.RESET
        with pytest.raises(NotFound):
            await bootstrap.reset_link(deployment, "nobody")

    async def test_an_admin_who_cannot_sign_in_does_not_count(
        self, database: Database, deployment: Deployment
    ) -> None:
        async with database.session() as session:
            session.add(
                Person(issuer=LOCAL_ISSUER, subject=new_id(), username="ghost", role="admin")
            )
        assert await bootstrap.admin_exists(deployment) is False
        assert await bootstrap.first_admin_link(deployment)
        async with database.session() as session:
            assert await by_username(session, "ghost") is not None
