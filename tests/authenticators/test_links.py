"""One-time links with real tables: once, in time, for one purpose, and only their hash is kept."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text

from petrihub_authenticators import links, redemption
from petrihub_authenticators.links import LIFETIMES, Brings, Kind
from petrihub_core import audit, groups
from petrihub_core.database import Database
from petrihub_core.errors import Conflict, NotAllowed, NotFound, PetriHubError
from petrihub_core.people import by_username
from petrihub_core.records import Account, AuditRow, Group, GroupMember, Person, SignInLink, now
from petrihub_core.roles import Actor, Permission, roles_of

HASH = "$argon2id$not-looked-at-here"


async def make(database: Database, kind: Kind, **more: Any) -> str:
    async with database.session() as session:
        return await links.make(session, kind, by="tests", **more)


async def look(database: Database, code: str) -> SignInLink:
    async with database.session() as session:
        return await links.look(session, code)


async def redeem(database: Database, code: str, name: str = "ada") -> Person:
    async with database.session() as session:
        done = await redemption.redeem(session, code, name=name, password_hash=HASH)
        return done.person


async def roles(database: Database, person: Person) -> list[str]:
    async with database.reading() as session:
        return await roles_of(session, person.id)


async def test_the_first_admin_comes_in_and_closes_the_door_behind(database: Database) -> None:
    code = await make(database, Kind.FIRST_ADMIN)
    person = await redeem(database, code)
    assert person.active
    assert await roles(database, person) == ["super-admin"]
    with pytest.raises(Conflict, match="used already"):
        await redeem(database, code, "eve")
    with pytest.raises(Conflict, match="administrator already"):
        await make(database, Kind.FIRST_ADMIN)


async def test_a_newer_first_admin_link_replaces_the_older(database: Database) -> None:
    older, newer = await make(database, Kind.FIRST_ADMIN), await make(database, Kind.FIRST_ADMIN)
    with pytest.raises(Conflict, match="replaced by a newer"):
        await redeem(database, older)
    assert await roles(database, await redeem(database, newer)) == ["super-admin"]


async def test_a_first_admin_link_is_worthless_once_there_is_an_admin(database: Database) -> None:
    code = await make(database, Kind.FIRST_ADMIN)
    invite = await make(database, Kind.INVITE, brings=Brings(role="super-admin"))
    await redeem(database, invite, "boss")
    with pytest.raises(Conflict, match="administrator already"):
        await redeem(database, code, "eve")
    async with database.session() as session:
        assert await by_username(session, "eve") is None


@pytest.mark.parametrize("kind", list(Kind))
async def test_a_link_expires_at_its_time(
    database: Database, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = await make(database, kind, username="ada")
    end = now() + LIFETIMES[kind]
    monkeypatch.setattr(links, "now", lambda: end - timedelta(minutes=1))
    await look(database, code)
    monkeypatch.setattr(links, "now", lambda: end + timedelta(seconds=1))
    with pytest.raises(Conflict, match="expired") as refused:
        await look(database, code)
    assert refused.value.hint, "says what to do now"


@pytest.mark.parametrize(
    "code", ["", "x", "#", "' OR 1=1 --", "a" * 43, "\ud800", "é" * 50, "x" * 1_000_000]
)
async def test_wrong_codes_are_not_known(database: Database, code: str) -> None:
    await make(database, Kind.INVITE)
    with pytest.raises(NotFound, match="not known"):
        await look(database, code)


async def test_the_whole_link_can_be_pasted(database: Database) -> None:
    code = await make(database, Kind.INVITE)
    link = links.address_of("http://hub.example:8000/", code)
    assert link == f"http://hub.example:8000/hub/welcome#{code}"
    assert (await look(database, f"  {link}\n")).kind == Kind.INVITE


async def test_only_the_hash_is_kept(database: Database) -> None:
    code = await make(database, Kind.INVITE)
    assert len(code) >= 43, "256 bits"
    async with database.session() as session:
        for table in ("sign_in_links", "audit"):
            rows = (await session.execute(text(f"SELECT * FROM {table}"))).all()
            assert rows
            assert code not in repr(rows)


async def test_a_withdrawn_link_says_so(database: Database) -> None:
    code = await make(database, Kind.INVITE)
    link = await look(database, code)
    async with database.session() as session:
        await links.revoke(session, link.id, by="boss")
    with pytest.raises(Conflict, match="withdrawn"):
        await redeem(database, code)
    with pytest.raises(NotFound):
        async with database.session() as session:
            await links.revoke(session, link.id, by="boss")


async def test_a_taken_name_leaves_the_link_open(database: Database) -> None:
    await redeem(database, await make(database, Kind.INVITE), "ada")
    code = await make(database, Kind.INVITE)
    with pytest.raises(Conflict, match="taken"):
        await redeem(database, code, "ada")
    assert (await redeem(database, code, "eve")).username == "eve"


async def test_an_invitation_brings_its_role_its_address_and_its_groups(
    database: Database,
) -> None:
    boss = Actor("boss", frozenset(Permission))
    async with database.session() as session:
        kept = await groups.make(session, boss, name="imaging", title="Imaging")
        gone = await groups.make(session, boss, name="gone", title="Gone")
    brings = Brings(role="auditor", email="ada@lab.example", groups=(kept.id, gone.id))
    code = await make(database, Kind.INVITE, brings=brings)
    async with database.session() as session:
        await groups.delete_group(session, boss, "gone")
    ada = await redeem(database, code)
    assert ada.email == "ada@lab.example"
    assert await roles(database, ada) == ["auditor"]
    async with database.reading() as session:
        rows = await session.scalars(
            select(Group.name).join(GroupMember).where(GroupMember.person_id == ada.id)
        )
        assert list(rows) == ["imaging"]


async def test_a_fixed_name_wins_over_a_typed_one(database: Database) -> None:
    code = await make(database, Kind.INVITE, username="ada")
    assert (await redeem(database, code, "root")).username == "ada"


async def test_a_reset_sets_the_password_of_its_person_only(database: Database) -> None:
    ada = await redeem(database, await make(database, Kind.INVITE), "ada")
    eve = await redeem(database, await make(database, Kind.INVITE), "eve")
    code = await make(database, Kind.RESET, username="ada")
    async with database.session() as session:
        await redemption.redeem(session, code, name="eve", password_hash="$new")
    async with database.session() as session:
        assert (await session.get_one(Account, ada.id)).password_hash == "$new"
        assert (await session.get_one(Account, eve.id)).password_hash == HASH


async def test_a_reset_is_not_a_way_around_deactivation(database: Database) -> None:
    ada = await redeem(database, await make(database, Kind.INVITE), "ada")
    code = await make(database, Kind.RESET, username="ada")
    async with database.session() as session:
        (await session.get_one(Person, ada.id)).active = False
    with pytest.raises(NotAllowed, match="deactivated"):
        await redeem(database, code)


@pytest.mark.parametrize("kind", list(Kind))
async def test_of_two_at_the_same_moment_exactly_one_wins(
    database: Database, database_url: str, kind: Kind
) -> None:
    if kind is Kind.RESET:
        await redeem(database, await make(database, Kind.INVITE), "ada")
    code = await make(database, kind, **({"username": "ada"} if kind is Kind.RESET else {}))
    others = [Database.open(database_url) for _ in range(4)]
    outcomes = await asyncio.gather(
        *(redeem(each, code, f"name{number}") for number, each in enumerate(others)),
        return_exceptions=True,
    )
    for each in others:
        await each.close()
    winners = [outcome for outcome in outcomes if isinstance(outcome, Person)]
    losers = [outcome for outcome in outcomes if isinstance(outcome, PetriHubError)]
    assert (len(winners), len(losers)) == (1, 3), outcomes
    async with database.session() as session:
        assert await session.scalar(select(func.count()).select_from(Person)) == 1
        assert await audit.verify(session) is None


async def test_two_links_and_one_name_at_the_same_moment(
    database: Database, database_url: str
) -> None:
    codes = [await make(database, Kind.INVITE) for _ in range(4)]
    others = [Database.open(database_url) for _ in codes]
    outcomes = await asyncio.gather(
        *(redeem(each, code, "ada") for each, code in zip(others, codes, strict=True)),
        return_exceptions=True,
    )
    for each in others:
        await each.close()
    assert sum(isinstance(outcome, Person) for outcome in outcomes) == 1, outcomes
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 3, outcomes


async def test_every_step_has_its_row(database: Database) -> None:
    await redeem(database, await make(database, Kind.FIRST_ADMIN), "boss")
    async with database.session() as session:
        rows = list(await session.scalars(select(AuditRow).order_by(AuditRow.seq)))
        assert [row.action for row in rows] == ["link.first-admin.made", "link.first-admin.used"]
        assert [row.actor for row in rows] == ["tests", "boss"]
        assert await audit.verify(session) is None
