"""Roles: what they bundle, and that nobody gives or takes more than they hold."""

import pytest
from sqlalchemy import select

from petrihub_core.database import Database
from petrihub_core.errors import Conflict, NotAllowed, Refused
from petrihub_core.people import LOCAL_ISSUER, person_for
from petrihub_core.records import Person, RoleGrant
from petrihub_core.roles import (
    ROLES,
    SUPER_ADMIN,
    Actor,
    Permission,
    in_line,
    permissions_in,
    permissions_of,
    set_roles,
)

BOSS = Actor("boss", frozenset(Permission))


async def add(database: Database, name: str, *roles: str) -> Person:
    async with database.session() as session:
        person = await person_for(session, LOCAL_ISSUER, name, username=name)
        for role in roles:
            session.add(RoleGrant(person_id=person.id, role=role, granted_by="tests"))
        return person


def test_deny_by_default() -> None:
    assert permissions_in([]) == frozenset()
    assert permissions_in(["owner", "", "SUPER-ADMIN"]) == frozenset()
    assert permissions_in([SUPER_ADMIN]) == frozenset(Permission)


def test_only_a_super_admin_holds_everything_and_an_auditor_changes_nothing() -> None:
    for role in ROLES.values():
        assert (role.permissions == frozenset(Permission)) is (role.id == SUPER_ADMIN)
    assert all(each.value.endswith(":read") for each in ROLES["auditor"].permissions)


@pytest.mark.parametrize("own", [role for role in ROLES if role != SUPER_ADMIN])
@pytest.mark.parametrize("wanted", list(ROLES))
async def test_nobody_grants_or_takes_more_than_they_hold(
    database: Database, own: str, wanted: str
) -> None:
    actor = Actor("actor", ROLES[own].permissions)
    fits = ROLES[wanted].permissions <= ROLES[own].permissions
    for before, after in (((), (wanted,)), ((wanted,), ())):
        person = await add(database, f"p{len(before)}", *before)
        if fits:
            async with database.session() as session:
                await set_roles(session, actor, person, after)
            continue
        with pytest.raises(NotAllowed, match="more than you"):
            async with database.session() as session:
                await set_roles(session, actor, person, after)


async def test_a_role_of_another_release_carries_nothing_and_can_be_taken_away(
    database: Database,
) -> None:
    person = await add(database, "ada", "wizard")
    async with database.session() as session:
        assert await permissions_of(session, person) == frozenset()
        with pytest.raises(Refused, match="no role"):
            await set_roles(session, BOSS, person, ["wizard", "sorcerer"])
        await set_roles(session, BOSS, person, [])
        assert list(await session.scalars(select(RoleGrant.role))) == []


async def test_the_last_super_admin_stays_and_an_inactive_one_does_not_count(
    database: Database,
) -> None:
    last, gone = await add(database, "last", SUPER_ADMIN), await add(database, "gone", SUPER_ADMIN)
    async with database.session() as session:
        (await session.get_one(Person, gone.id)).active = False
    async with database.session() as session:
        with pytest.raises(Conflict, match="only super admin"):
            await set_roles(session, BOSS, last, [])


async def test_who_waits_in_line_has_only_what_is_still_theirs(database: Database) -> None:
    person = await add(database, "ada", "auditor")
    stale = Actor("ada", frozenset(Permission), person.id)
    async with database.session() as session:
        assert (await in_line(session, stale)).permissions == ROLES["auditor"].permissions
        (await session.get_one(Person, person.id)).active = False
        await session.flush()
        assert (await in_line(session, stale)).permissions == frozenset()
        assert (await in_line(session, Actor("x", stale.permissions, "0" * 32))).permissions == (
            frozenset()
        )
