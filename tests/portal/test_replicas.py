"""Two replicas of the portal and one hub on one PostgreSQL behave as one portal."""

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg
import httpx
import pytest

from petrihub_cli.state import inner_ports
from petrihub_core.database import Database
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.ports import free_port
from petrihub_core.records import Account, Person, RoleGrant, new_id
from petrihub_core.roles import SUPER_ADMIN

from tests.platform import PASSWORD, petrihub, wait_until_up
from tests.portal.conftest import PORTAL_CONNECTIONS
from tests.portal.guests import API, PORTAL, Guest, Site

pytestmark = pytest.mark.postgres

TOKEN = re.compile(r'name="_xsrf" value="([^"]+)"')


@dataclass
class Pair:
    """A platform whose portal is the first replica, and the address of the second."""

    site: Site
    second: str
    server: str  # without driver and database

    def at_second(self, guest: Guest) -> httpx.Client:
        """The same browser at the second replica."""
        return httpx.Client(
            base_url=self.second,
            cookies=guest.client.cookies,
            headers={"X-XSRFToken": guest.xsrf},
            timeout=60,
            trust_env=False,
        )


@pytest.fixture(scope="module")
def pair(postgres: str, postgres_site: Site) -> Iterator[Pair]:
    state, deployment = postgres_site.up.state, postgres_site.deployment
    port, hub_port = free_port(), inner_ports(deployment)["hub"]
    log = state / "replica.log"
    with log.open("wb") as out:
        replica = subprocess.Popen(
            petrihub("portal", "--state", state, "--port", port),
            env={**os.environ, "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub_port}/hub/api"},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        second = f"http://127.0.0.1:{port}"
        wait_until_up(f"{second}{API}/alive", replica, log)
        yield Pair(postgres_site, second, postgres.replace("+asyncpg", ""))
    finally:
        replica.terminate()
        replica.wait(60)


@pytest.fixture
async def pair_tables(pair: Pair) -> AsyncIterator[Database]:
    opened = pair.site.database()
    yield opened
    await opened.close()


async def make_admin(pair: Pair, tables: Database, password_hash: str, name: str) -> Guest:
    async with tables.session() as session:
        person = Person(issuer=LOCAL_ISSUER, subject=new_id(), username=name)
        session.add(person)
        await session.flush()
        session.add(Account(person_id=person.id, password_hash=password_hash))
        session.add(RoleGrant(person_id=person.id, role=SUPER_ADMIN, granted_by="tests"))
        return Guest(pair.site, person.id, name)


@pytest.fixture
async def admin(pair: Pair, pair_tables: Database, password_hash: str) -> Guest:
    return await make_admin(pair, pair_tables, password_hash, f"a{new_id()[:8].lower()}")


def test_who_signed_in_at_one_is_known_at_the_other(pair: Pair, admin: Guest) -> None:
    admin.sign_in()
    with pair.at_second(admin) as other:
        assert f'data-user="{admin.name}"' in other.get(PORTAL).text
        body = {"text": "Said at the second.", "level": "info"}
        assert other.post(f"{API}/announcements", json=body).status_code == 201
    assert "Said at the second." in admin.get("admin/announcements").text


def test_a_sign_in_begun_at_one_is_ended_at_the_other(pair: Pair, admin: Guest) -> None:
    admin.sign_in()
    begun = admin.client.get(f"{PORTAL}sign-in", follow_redirects=False)
    back = admin.client.get(begun.headers["location"], follow_redirects=False)
    assert back.headers["location"].startswith(f"{PORTAL}oauth_callback")
    with pair.at_second(admin) as other:
        del other.cookies["petrihub-portal"]
        answer = other.get(back.headers["location"], follow_redirects=True)
        assert f'data-user="{admin.name}"' in answer.text


def test_a_notice_of_one_is_said_by_the_other(pair: Pair, admin: Guest) -> None:
    text = "Power cut on Friday"
    assert admin.post("admin/announcements", {"text": text, "level": "info"}).status_code == 303
    with pair.at_second(admin) as other:
        assert "Announced." in other.get(f"{PORTAL}admin/announcements").text


def test_of_many_edits_of_one_version_at_both_one_is_kept(pair: Pair, admin: Guest) -> None:
    version = admin.api("GET", "settings/site").json()["version"]
    with pair.at_second(admin) as other:

        def save(number: int) -> httpx.Response:
            body = {"values": {"name": f"Lab {number}"}, "expected": version}
            if number % 2:
                return other.put(f"{API}/settings/site", json=body)
            return admin.api("PUT", "settings/site", body)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(save, range(16)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] + [409] * 15
    refused = next(answer for answer in answers if answer.status_code == 409).json()
    assert "Somebody else saved this page" in refused["detail"]
    kept = next(answer for answer in answers if answer.status_code == 200).json()
    assert admin.api("GET", "settings/site").json()["values"] == kept["values"]


def test_nobody_has_more_tokens_than_allowed_by_asking_both_at_once(
    pair: Pair, admin: Guest
) -> None:
    """A73: who came too late gives the token back, before anybody has seen it."""
    limits = admin.api("GET", "settings/limits").json()
    few = {**limits["values"], "tokens_per_person": 3}
    saved = admin.api("PUT", "settings/limits", {"values": few, "expected": limits["version"]})
    assert saved.status_code == 200, saved.text
    wish = {"note": "many", "scopes": ["own"], "days": 1}
    with pair.at_second(admin) as other:

        def make(number: int) -> int:
            if number % 2:
                return other.post(f"{API}/tokens", json=wish).status_code
            return admin.api("POST", "tokens", wish).status_code

        with ThreadPoolExecutor(8) as pool:
            codes = sorted(pool.map(make, range(12)))
    assert codes == [201] * 3 + [409] * 9
    assert len(admin.api("GET", "tokens").json()["tokens"]) == 3


async def test_a_hub_without_its_database_signs_nobody_out(pair: Pair, admin: Guest) -> None:
    """F22: the hub then answers as to a stranger, and the portal must not believe it."""
    admin.sign_in()
    name = pair.site.deployment.hub_database_url.rpartition("/")[2]
    connection = await asyncpg.connect(f"{pair.server}/postgres")
    with pair.at_second(admin) as other:  # which has not asked the hub about this browser yet
        await connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
            )
            answer = await asyncio.to_thread(other.get, f"{API}/me")
            assert (answer.status_code, answer.json()["hint"]) == (503, "Try again in a minute.")
        finally:
            await connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            await connection.close()
        again = await asyncio.to_thread(other.get, f"{API}/me")
        assert again.status_code == 200


async def test_with_all_connections_of_the_portal_taken_people_still_sign_in(
    pair: Pair, admin: Guest, pair_tables: Database, password_hash: str
) -> None:
    """F23: the portal sheds load in words; the hub's connections are its own."""
    late = await make_admin(pair, pair_tables, password_hash, f"l{new_id()[:8].lower()}")
    admin.sign_in()
    name = pair.site.deployment.database_url.rpartition("/")[2]
    url = f"{pair.server.replace('petrihub@', 'portal@')}/{name}"
    async with AsyncExitStack() as idle:
        with pytest.raises(asyncpg.TooManyConnectionsError):
            for _ in range(PORTAL_CONNECTIONS + 1):
                idle.push_async_callback((await asyncpg.connect(url)).close)
        form = late.client.get("/hub/login")
        assert form.status_code == 200

        token = TOKEN.search(form.text)
        assert token
        typed = {"_xsrf": token[1], "username": late.name, "password": PASSWORD}
        signed_in = await asyncio.to_thread(
            late.client.post, "/hub/login", params={"next": "/hub/token"}, data=typed
        )
        assert f'data-user="{late.name}"' in signed_in.text

        def look(_: int) -> httpx.Response:
            return admin.client.get(f"{API}/me")

        with ThreadPoolExecutor(24) as pool:
            answers = await asyncio.gather(
                *(asyncio.get_running_loop().run_in_executor(pool, look, n) for n in range(48))
            )
        assert {answer.status_code for answer in answers} <= {200, 503}
        for answer in answers:
            if answer.status_code == 503:
                assert "Try again in a minute" in answer.json()["hint"]
    assert admin.client.get(f"{API}/me").status_code == 200
