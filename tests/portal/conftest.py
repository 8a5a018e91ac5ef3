"""A whole PetriHub on the local backend, people in it, and their sessions.

site         a running platform and its tables (this folder)
postgres_site  another one, on PostgreSQL (this folder)
add_person   makes people who can sign in; gives their `Guest`
guest        a fresh researcher; `boss` is a fresh super admin
fronted      a platform of its own behind Caddy (this folder), with its tables `fronted_tables`
chief        a fresh super admin there, who comes by HTTPS
origins      a platform behind Caddy with an origin for each person (this folder)
admin        a super admin for the `browser` (module)
ada          a fresh researcher for it
visit        opens a page of the portal in it as somebody
"""

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import asyncpg
import pytest
from argon2 import PasswordHasher
from playwright.sync_api import Browser, Page

from petrihub_core.database import Database
from petrihub_core.deployment import read_deployment
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.ports import free_port
from petrihub_core.records import Account, Person, RoleGrant, new_id
from petrihub_core.roles import SUPER_ADMIN

from tests.conftest import postgres_database, skip
from tests.platform import PASSWORD, start_up
from tests.portal.browsing import enter, listen, newcomer
from tests.portal.fronted import OWN_DOMAIN, Fronted, HttpsGuest, start_fronted
from tests.portal.guests import PORTAL, Guest, Site
from tests.portal.workspaces import WORKSPACE, Hub, Studio, make_guest, text

PORTAL_CONNECTIONS = 40  # most that the portal's role has at PostgreSQL


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    state = tmp_path_factory.mktemp("portal-site")
    up = start_up(state, "local", free_port())
    try:
        yield Site(up, read_deployment(state / "petrihub.toml"))
    finally:
        up.interrupt()


@pytest.fixture(scope="package")
def postgres_site(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A platform of its own, whose tables are in PostgreSQL."""
    state = tmp_path_factory.mktemp("postgres-site")
    (state / "petrihub.toml").write_text(asyncio.run(make_databases(postgres)))
    up = start_up(state, "local", free_port())
    try:
        yield Site(up, read_deployment(state / "petrihub.toml"))
    finally:
        up.interrupt()


async def make_databases(server: str) -> str:
    """Two databases and two roles, as images/postgres makes them; what petrihub.toml says then."""
    urls = [await postgres_database(server) for _ in range(2)]
    connection = await asyncpg.connect(f"{server.replace('+asyncpg', '')}/postgres")
    await connection.execute("CREATE ROLE hub LOGIN")
    most = f"CONNECTION LIMIT {PORTAL_CONNECTIONS}"
    await connection.execute(f"CREATE ROLE portal LOGIN {most} IN ROLE hub")
    for url in urls:
        await connection.execute(f"ALTER DATABASE {url.rpartition('/')[2]} OWNER TO hub")
    await connection.close()
    ours, hubs = (url.replace("petrihub@", "hub@") for url in urls)
    hubs = hubs.replace("+asyncpg", "+psycopg")
    tables = f'[database]\nurl = "{ours}"\nhub_url = "{hubs}"\nportal_user = "portal"\n'
    return f"{tables}[workspaces]\nstop_on_exit = true\n"


@pytest.fixture(scope="package")
def password_hash() -> str:
    """Made once: each costs a tenth of a second of both cores."""
    return PasswordHasher().hash(PASSWORD)


@pytest.fixture(scope="package")
def fronted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronted]:
    """A platform of its own behind Caddy, reached by HTTPS."""
    if shutil.which("caddy") is None:
        skip("Caddy is not installed (apt-get install caddy)")
    started = start_fronted(tmp_path_factory.mktemp("fronted"))
    try:
        yield started
    finally:
        assert started.up.interrupt() == 0


@pytest.fixture(scope="package")
def origins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronted]:
    """A platform behind Caddy where each person has an origin of their own."""
    if shutil.which("caddy") is None:
        skip("Caddy is not installed (apt-get install caddy)")
    started = start_fronted(tmp_path_factory.mktemp("origins"), OWN_DOMAIN)
    try:
        yield started
    finally:
        assert started.up.interrupt() == 0


@pytest.fixture
async def fronted_tables(fronted: Fronted) -> AsyncIterator[Database]:
    opened = fronted.database()
    yield opened
    await opened.close()


@pytest.fixture
async def chief(fronted: Fronted, fronted_tables: Database, password_hash: str) -> HttpsGuest:
    name = f"c{uuid.uuid4().hex[:10]}"
    async with fronted_tables.session() as session:
        person = Person(issuer=LOCAL_ISSUER, subject=new_id(), username=name)
        session.add(person)
        await session.flush()
        session.add(Account(person_id=person.id, password_hash=password_hash))
        session.add(RoleGrant(person_id=person.id, role=SUPER_ADMIN, granted_by="tests"))
        return HttpsGuest(fronted, person.id, name)


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


@pytest.fixture(scope="package")
def studio(site: Site) -> Iterator[Studio]:
    """A running workspace of somebody who has it open."""
    yield from open_studio(site)


def open_studio(site: Site) -> Iterator[Studio]:
    """Start it; its owner has it open."""
    owner = asyncio.run(make_guest(site)).sign_in()
    hub = Hub(site)
    hub.start(owner, WORKSPACE)
    made = Studio(owner, hub, site)
    inside = made.of(owner)
    assert inside.enter().status_code == 200
    inside.call("PUT", "api/contents/notes.txt", json=text("first"))
    yield made
    hub.client.close()


@pytest.fixture(scope="module")
def admin(site: Site) -> Guest:
    """A super admin for the browser: `boss` would need this thread's loop."""
    return newcomer(site, SUPER_ADMIN)


@pytest.fixture
def ada(site: Site) -> Guest:
    """Somebody new for the browser, likewise."""
    return newcomer(site)


Visit = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens the portal as somebody; no script may have complained."""
    contexts, complaints = [], []

    def open_as(guest: Guest, path: str = "", **more: object) -> Page:
        contexts.append(enter(browser, guest, **more))
        page = contexts[-1].new_page()
        listen(page, complaints)
        page.goto(PORTAL + path)
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert complaints == []
