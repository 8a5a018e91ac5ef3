"""A whole PetriHub on the local backend, people in it, and their sessions.

site         a running platform and its tables (session)
add_person   makes people who can sign in; gives their `Guest`
guest        a fresh researcher; `boss` is a fresh super admin
"""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from argon2 import PasswordHasher

from petrihub_core.database import Database
from petrihub_core.deployment import read_deployment
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.records import Account, Person, RoleGrant, new_id
from petrihub_core.roles import SUPER_ADMIN

from tests.platform import PASSWORD, free_port, start_up
from tests.portal.guests import Guest, Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    state = tmp_path_factory.mktemp("portal-site")
    up = start_up(state, "local", free_port())
    try:
        yield Site(up, read_deployment(state / "petrihub.toml"))
    finally:
        up.interrupt()


@pytest.fixture(scope="session")
def password_hash() -> str:
    """Made once: each costs a tenth of a second of both cores."""
    return PasswordHasher().hash(PASSWORD)


@pytest.fixture
async def tables(site: Site) -> AsyncIterator[Database]:
    """The tables of `site`."""
    opened = site.database()
    yield opened
    await opened.close()


AddPerson = Callable[..., Awaitable[Guest]]


@pytest.fixture
def add_person(site: Site, tables: Database, password_hash: str) -> AddPerson:
    """Makes people who can sign in, with the given roles."""

    async def add(*roles: str, name: str = "") -> Guest:
        name = name or f"p{uuid.uuid4().hex[:10]}"
        async with tables.session() as session:
            person = Person(issuer=LOCAL_ISSUER, subject=new_id(), username=name)
            session.add(person)
            await session.flush()
            session.add(Account(person_id=person.id, password_hash=password_hash))
            for role in roles:
                session.add(RoleGrant(person_id=person.id, role=role, granted_by="tests"))
            return Guest(site, person.id, name)

    return add


@pytest.fixture
async def guest(add_person: AddPerson) -> Guest:
    return await add_person()


@pytest.fixture
async def boss(add_person: AddPerson) -> Guest:
    return await add_person(SUPER_ADMIN)
