"""A hub of its own process, people to sign in, and browsers without a screen.

hub           a running hub on SQLite (this folder); `tables` are its tables
fresh_hub     a hub of this test alone, that nobody has signed in to yet
story_hub     the same, once on SQLite and once on PostgreSQL
add_person    makes people in a database; `researcher` and `admin` are such people in `tables`
invite        the code of an invitation that `admin` makes; `reset` the code for a new password
visitor       a browser at `hub`
"""

import itertools
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher

from petrihub_authenticators import accounts
from petrihub_authenticators.accounts import Newcomer
from petrihub_core.database import Database, migrate_now
from petrihub_core.deployment import Deployment, read_deployment
from petrihub_core.people import LOCAL_ISSUER, by_username
from petrihub_core.records import Account, Person, RoleGrant, new_id
from petrihub_core.roles import SUPER_ADMIN, Actor, permissions_of

from tests.platform import ports_in_a_row, wait_until_up

HERE = Path(__file__).parent
PASSWORD = "correct zebra paper clip"
ANY_PAGE = "no-such-page"  # of the hub's own, for everybody: it shows who is signed in
PORTAL_TOKEN = "portal-token-of-the-tests"
_TOKEN = re.compile(r'name="_xsrf" value="([^"]+)"')
_SCRIPTS = {
    "tiny.py": """
import http.server, os
from urllib.parse import urlsplit
class Tiny(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"tiny")
    def log_message(self, *args): pass
port = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port
http.server.ThreadingHTTPServer(("127.0.0.1", port), Tiny).serve_forever()
""",
    "never.py": "import signal\nsignal.pause()\n",
}
_addresses = itertools.count(1)


@dataclass
class Visitor:
    """Somebody at a browser: one cookie jar, one network address."""

    hub: "Hub"
    address: str
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(
            base_url=self.hub.url, headers={"X-Forwarded-For": self.address}, timeout=60
        )

    def get(self, path: str, **more: object) -> httpx.Response:
        return self.client.get(f"/hub/{path}", **more)  # type: ignore[arg-type]

    def post(
        self, path: str, data: dict[str, str], *, page: str | None = None, **more: object
    ) -> httpx.Response:
        """Open `page` (default: the same path) for its XSRF token, then send the form."""
        token = _TOKEN.search(self.get(page or path).text)
        assert token, f"no form on {page or path}"
        body = {"_xsrf": token[1], **data}
        return self.client.post(f"/hub/{path}", data=body, **more)  # type: ignore[arg-type]

    def sign_in(self, name: str, password: str = PASSWORD, query: str = "") -> httpx.Response:
        return self.post(f"login{query}", {"username": name, "password": password})

    def redeem(self, code: str, name: str = "", password: str = PASSWORD) -> httpx.Response:
        form = {"step": "join", "code": code, "username": name}
        return self.post("welcome", {**form, "password": password, "again": password})

    def own_api(self, name: str, method: str, path: str, **more: object) -> httpx.Response:
        """A call of the hub's REST API below one's own user, as the hub's pages send it."""
        headers = {"X-XSRFToken": self.client.cookies["_xsrf"], "Referer": f"{self.hub.url}/hub/"}
        return self.client.request(
            method,
            f"/hub/api/users/{name}{path}",
            headers=headers,
            **more,  # type: ignore[arg-type]
        )

    def who(self) -> str | None:
        """The name that the hub's pages show, None if nobody is signed in."""
        answer = self.get(ANY_PAGE)
        found = re.search(r'data-user="([^"]*)"', answer.text)
        return found[1] if found and found[1] else None


@dataclass
class Hub:
    """A running hub and what its tests need to know of it."""

    folder: Path
    deployment: Deployment
    url: str
    process: "subprocess.Popen[bytes]"

    @property
    def log(self) -> str:
        return (self.folder / "hub.log").read_text(errors="replace")

    def visitor(self) -> Visitor:
        """A new browser at a new address, so that tests do not slow each other down."""
        number = next(_addresses)
        return Visitor(self, f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")

    def database(self) -> Database:
        return Database.open(self.deployment.database_url)

    def portal(self, method: str, path: str, **more: object) -> httpx.Response:
        """A call of the REST API with the portal's service token."""
        headers = {"Authorization": f"token {PORTAL_TOKEN}"}
        url = f"{self.url}/hub/api/{path}"
        return httpx.request(method, url, headers=headers, timeout=60, **more)  # type: ignore[arg-type]

    def token(self, name: str, note: str = "a script") -> str:
        """A token of this person, who has signed in before, as the portal makes them."""
        made = self.portal("POST", f"users/{name}/tokens", json={"note": note})
        return str(made.json()["token"])

    def ready(self, name: str) -> dict[str, bool]:
        """The person's workspaces, and which of them answer."""
        answer = self.portal("GET", f"users/{name}?include_stopped_servers=1")
        return {key: value["ready"] for key, value in answer.json()["servers"].items()}


@contextmanager
def running_hub(folder: Path, database_url: str = "", **environment: str) -> Iterator[Hub]:
    """A hub in its own process; it must end by itself when it is asked to."""
    port = ports_in_a_row(2)
    (folder / "port").write_text(str(port))
    database = f'[database]\nurl = "{database_url}"\n' if database_url else ""
    (folder / "petrihub.toml").write_text(f"[address]\nport = {port}\n{database}")
    for name, text in _SCRIPTS.items():
        (folder / name).write_text(text)
    deployment = read_deployment(folder / "petrihub.toml")
    if not database_url:
        migrate_now(deployment.database_url)
    with (folder / "hub.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(HERE / "hub_config.py")],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={
                **os.environ,
                **environment,
                "DOOR_FOLDER": str(folder),
                "PETRIHUB_CONFIG": str(folder / "petrihub.toml"),
            },
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_up(f"{url}/hub/health", process, folder / "hub.log")
        yield Hub(folder, deployment, url, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)  # a thread of ours that does not end would hang the hub for ever


@pytest.fixture(scope="package")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture
def fresh_hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub that nobody has signed in to yet."""
    with running_hub(tmp_path, DOOR_REFRESH_AGE="1") as running:
        yield running


@pytest.fixture
def story_hub(tmp_path: Path, database_url: str) -> Iterator[Hub]:
    """A hub that nobody has signed in to yet, on SQLite and again on PostgreSQL."""
    with running_hub(tmp_path, database_url) as running:
        yield running


@pytest.fixture(scope="package")
def password_hash() -> str:
    """The hash of `PASSWORD`, made once: each costs a tenth of a second of both cores."""
    return PasswordHasher().hash(PASSWORD)


@pytest.fixture
async def tables(hub: Hub) -> AsyncIterator[Database]:
    """The tables of `hub`."""
    opened = hub.database()
    yield opened
    await opened.close()


AddPerson = Callable[..., Awaitable[str]]


@pytest.fixture
def add_person(password_hash: str) -> AddPerson:
    """Makes people who can sign in with `PASSWORD`; gives their name."""

    async def add(database: Database, *roles: str, name: str = "") -> str:
        name = name or f"p{uuid.uuid4().hex[:10]}"
        async with database.session() as session:
            person = Person(issuer=LOCAL_ISSUER, subject=new_id(), username=name)
            session.add(person)
            await session.flush()
            session.add(Account(person_id=person.id, password_hash=password_hash))
            for role in roles:
                session.add(RoleGrant(person_id=person.id, role=role, granted_by="tests"))
        return name

    return add


@pytest.fixture
async def researcher(tables: Database, add_person: AddPerson) -> str:
    return await add_person(tables)


@pytest.fixture
async def admin(tables: Database, add_person: AddPerson) -> str:
    return await add_person(tables, SUPER_ADMIN)


@pytest.fixture
def visitor(hub: Hub) -> Visitor:
    return hub.visitor()


async def actor_of(database: Database, name: str) -> Actor:
    """The person as somebody who acts, with what their roles allow them now."""
    async with database.reading() as session:
        person = await by_username(session, name)
        assert person is not None
        return Actor(person.username, await permissions_of(session, person), person.id)


@pytest.fixture
def invite(tables: Database, admin: str) -> Callable[..., Awaitable[str]]:
    """Makes an invitation as `admin`; gives its code."""

    async def make(**newcomer: str) -> str:
        actor = await actor_of(tables, admin)
        async with tables.session() as session:
            return await accounts.add(session, actor, Newcomer(**newcomer))  # type: ignore[arg-type]

    return make


@pytest.fixture
def reset(tables: Database, admin: str) -> Callable[[str], Awaitable[str]]:
    """Makes a link for a new password as `admin`; gives its code."""

    async def make(name: str) -> str:
        actor = await actor_of(tables, admin)
        async with tables.session() as session:
            return await accounts.new_link(session, actor, name)

    return make
