"""Signing in to a real hub over HTTP."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from sqlalchemy import delete, select, update

from petrihub_authenticators.door import PetriHubAuthenticator
from petrihub_authenticators.throttle import ACCOUNT, ADDRESS
from petrihub_core import audit
from petrihub_core.database import Database
from petrihub_core.records import AuditRow, Person, RoleGrant, now

from tests.authenticators.conftest import ANY_PAGE

AddPerson = Callable[..., Awaitable[str]]
PASSWORD = "correct zebra paper clip"
PANEL = 'href="/services/portal/admin"'


async def until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110 - another process changes it, there is no event here
        await asyncio.sleep(0.1)


def told(page: str) -> str:
    """What the page says is wrong."""
    found = re.search(r'ph-flash-bad" role="alert">.*?<div>(.*?)</div>', page, re.DOTALL)
    return found[1].strip() if found else ""


async def test_in_and_out(visitor, researcher: str) -> None:
    assert visitor.who() is None
    answer = visitor.sign_in(researcher)
    assert (answer.status_code, answer.headers["location"]) == (303, "/hub/home")
    assert visitor.who() == researcher
    assert visitor.get("logout").status_code == 302
    assert visitor.who() is None


async def test_the_page_keeps_the_name_and_says_what_was_wrong(visitor, researcher: str) -> None:
    answer = visitor.sign_in(researcher, "not the password")
    assert answer.status_code == 403
    assert "name or the password is wrong" in told(answer.text)
    assert f'value="{researcher}"' in answer.text
    assert "not the password" not in answer.text
    assert "Ask an administrator" in answer.text
    again = visitor.sign_in('"><script>alert(1)</script>', "x")
    assert "<script>alert" not in again.text


@pytest.mark.parametrize("spelling", [str.upper, lambda name: f"  {name} "])
async def test_variants_of_a_name_are_one_person(visitor, researcher: str, spelling) -> None:
    assert visitor.sign_in(spelling(researcher)).status_code == 303
    assert visitor.who() == researcher


async def test_nobody_learns_which_names_exist(hub, researcher: str) -> None:
    answers = []
    for name in (researcher, "nobody-has-this", "../../x", "", "x" * 1_000_000):
        answer = hub.visitor().sign_in(name, "not the password")
        answers.append((answer.status_code, told(answer.text), sorted(answer.headers)))
    assert all(answer == answers[0] for answer in answers), answers
    assert answers[0][0] == 403


async def test_an_account_is_slowed_down_and_the_page_says_how_long(
    hub, researcher: str, tables: Database
) -> None:
    for _ in range(ACCOUNT.free):
        assert hub.visitor().sign_in(researcher, "guess").status_code == 403
    answer = hub.visitor().sign_in(researcher)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert re.search(r"Wait \d+ seconds?", told(answer.text))
    assert f'value="{researcher}"' in answer.text


async def test_an_address_is_slowed_down_and_a_forged_header_does_not_help(
    hub, researcher: str
) -> None:
    visitor = hub.visitor()
    statuses = [
        visitor.sign_in(f"nobody{number}", "guess").status_code for number in range(ADDRESS.free)
    ]
    assert set(statuses) == {403}
    assert visitor.sign_in(researcher).status_code == 429
    visitor.client.headers["X-Real-Ip"] = "203.0.113.5"
    visitor.client.headers["X-Forwarded-For"] = f"203.0.113.6, {visitor.address}"
    assert visitor.sign_in(researcher).status_code == 429
    assert hub.visitor().sign_in(researcher).status_code == 303


async def test_tries_at_the_hubs_own_api_count_as_well(hub, researcher: str) -> None:
    """A28: it takes a name and a password too, and says no more than 403 to any of them."""
    script = hub.visitor().client
    path = f"/hub/api/users/{researcher}/tokens"
    auths: list[object] = [{"username": researcher, "password": "guess"}] * ACCOUNT.free
    auths += [{"username": "x" * 1_000_000, "password": "x"}, {"username": 7}, ["x"], "x", {}]
    for auth in auths:
        assert script.post(path, json={"auth": auth}).status_code == 403
    assert hub.visitor().sign_in(researcher).status_code == 429


@pytest.mark.parametrize(
    ("wanted", "landed"),
    [
        ("/hub/token", "/hub/token"),
        ("/hub/token?x=1&y=2", "/hub/token?x=1&y=2"),
        ("https://evil.example/", "/hub/home"),
        ("//evil.example/", "/hub/home"),
        ("///evil.example/", "/hub/home"),
        ("/\\evil.example/", "/%5Cevil.example/"),
        ("\\\\evil.example/", "/hub/home"),
        ("http:/evil.example", "/hub/home"),
        ("javascript:alert(1)", "/hub/home"),
        ("data:text/html,x", "/hub/home"),
        ("%2F%2Fevil.example", "/hub/home"),
        ("http://127.0.0.1@evil.example/", "/hub/home"),
        ("", "/hub/home"),
    ],
)
async def test_where_to_go_next_stays_here(
    visitor, researcher: str, wanted: str, landed: str
) -> None:
    answer = visitor.sign_in(researcher, query=f"?next={quote(wanted, safe='')}")
    assert (answer.status_code, answer.headers["location"]) == (303, landed)


async def test_the_form_keeps_where_to_go_next(visitor) -> None:
    page = visitor.get("login?next=%2Fhub%2Ftoken").text
    assert 'action="/hub/login?next=%2Fhub%2Ftoken"' in page


@pytest.mark.parametrize("token", [None, "", "x", "a" * 10_000])
async def test_without_its_token_the_form_is_refused(
    visitor, researcher: str, token: str | None
) -> None:
    visitor.get("login")
    form = {"username": researcher, "password": PASSWORD}
    answer = visitor.client.post(
        "/hub/login", data=form if token is None else {**form, "_xsrf": token}
    )
    assert answer.status_code == 403
    assert "Reload the page" in told(answer.text)
    assert visitor.who() is None


async def test_another_visitors_token_is_refused(hub, researcher: str) -> None:
    one, other = hub.visitor(), hub.visitor()
    token = re.search(r'name="_xsrf" value="([^"]+)"', other.get("login").text)
    assert token
    one.get("login")
    answer = one.client.post(
        "/hub/login",
        data={"_xsrf": token[1], "username": researcher, "password": PASSWORD},
        headers={"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "same-origin"},
    )
    assert answer.status_code == 403


async def test_a_deactivated_person_is_told_so_only_with_the_right_password(
    hub, researcher: str, tables: Database
) -> None:
    async with tables.session() as session:
        await session.execute(
            update(Person).where(Person.username == researcher).values(active=False)
        )
    wrong = hub.visitor().sign_in(researcher, "not the password")
    assert "deactivated" not in wrong.text
    right = hub.visitor().sign_in(researcher)
    assert right.status_code == 403
    assert "Your account was deactivated" in told(right.text)


async def test_the_role_decides_what_the_hub_shows(hub, researcher: str, admin: str) -> None:
    for name, sees in ((researcher, False), (admin, True)):
        visitor = hub.visitor()
        visitor.sign_in(name)
        assert (PANEL in visitor.get(ANY_PAGE).text) is sees


async def test_nobody_is_an_administrator_of_jupyterhub_itself(hub, admin: str) -> None:
    visitor = hub.visitor()
    visitor.sign_in(admin)
    assert visitor.get("admin").status_code in (403, 404)
    assert visitor.own_api(admin, "GET", "").json()["admin"] is False
    for method, path in (("GET", ""), ("POST", ""), ("PATCH", ""), ("POST", "/servers/one")):
        answer = visitor.own_api("somebody-else", method, path, json={"admin": True})
        assert answer.status_code in (403, 404), path


async def test_our_pages_are_in_no_cache_frame_or_referrer(visitor) -> None:
    for path in ("login", "welcome"):
        headers = visitor.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe-inline" not in headers["content-security-policy"]


async def test_no_page_carries_inline_code(visitor) -> None:
    for path in ("login", "welcome"):
        page = visitor.get(path).text
        assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>|\son\w+=|<style|\sstyle=", page)


async def test_our_scripts_are_served_and_nothing_beside_them(visitor) -> None:
    for name in ("sign-in.js", "welcome.js"):
        answer = visitor.get(f"petrihub/sign-in/static/{name}")
        assert answer.status_code == 200
        assert "javascript" in answer.headers["content-type"]
    for path in ("../door.py", "..%2fdoor.py", "%2e%2e/commonest.txt", "", "nothing.js"):
        assert visitor.get(f"petrihub/sign-in/static/{path}").status_code in (302, 403, 404)


async def test_every_sign_in_has_its_row(hub, researcher: str, tables: Database) -> None:
    visitor = hub.visitor()
    visitor.sign_in(researcher, "not the password")
    visitor.sign_in(researcher)
    async with tables.session() as session:
        rows = list(
            await session.scalars(
                select(AuditRow).where(AuditRow.target == researcher).order_by(AuditRow.seq)
            )
        )
        assert [(row.action, row.outcome) for row in rows] == [
            ("sign-in", "refused"),
            ("sign-in", "ok"),
        ]
        assert json.dumps(rows[0].detail) == json.dumps({"address": visitor.address})
        assert await audit.verify(session) is None


async def test_the_hubs_log_holds_nothing_that_was_typed(hub, researcher: str) -> None:
    visitor = hub.visitor()
    visitor.sign_in(researcher, "canary-password-one")
    visitor.sign_in("canary-password-two", "x")
    visitor.sign_in("canary-password-three" * 50_000, "x")
    visitor.sign_in("evil\x1b[31m\nname", "canary-password-four")
    visitor.post("welcome", {"step": "look", "code": "canary-code"})
    assert "POST /hub/login" in hub.log, "the log is there"
    assert "canary" not in hub.log
    assert "\x1b[31m" not in hub.log
    assert max(map(len, hub.log.splitlines())) < 5000


async def test_what_the_tables_say_reaches_the_hub_without_a_new_sign_in(
    fresh_hub, add_person: AddPerson
) -> None:
    """`fresh_hub` asks again after one second instead of sixty."""
    tables = fresh_hub.database()
    boss = await add_person(tables, "user-admin")
    visitor = fresh_hub.visitor()
    visitor.sign_in(boss)
    assert PANEL in visitor.get(ANY_PAGE).text

    async with tables.session() as session:
        await session.execute(delete(RoleGrant))
    await until(lambda: PANEL not in visitor.get(ANY_PAGE).text)
    assert visitor.get("api/users").status_code == 403
    assert visitor.who() == boss
    async with tables.session() as session:
        await session.execute(update(Person).where(Person.username == boss).values(active=False))
    await until(lambda: visitor.who() is None)
    assert visitor.sign_in(boss).status_code == 403
    await tables.close()


async def test_when_somebody_was_seen_is_written_down_but_not_for_their_machines(
    hub, visitor, researcher: str, tables: Database
) -> None:
    visitor.sign_in(researcher)

    async def last_seen() -> datetime | None:
        async with tables.reading() as session:
            return await session.scalar(
                select(Person.last_seen_at).where(Person.username == researcher)
            )

    first = await last_seen()
    assert first is not None
    assert now() - first < timedelta(minutes=1)
    hub.token(researcher)
    assert await last_seen() == first, "not again within the minute"

    async with tables.session() as session:
        long_ago = now() - timedelta(days=9)
        await session.execute(
            update(Person).where(Person.username == researcher).values(last_seen_at=long_ago)
        )
    door = PetriHubAuthenticator()
    person = SimpleNamespace(name=researcher, admin=False)
    machine = SimpleNamespace(request=SimpleNamespace(path=f"/hub/api/users/{researcher}/activity"))
    browser = SimpleNamespace(request=SimpleNamespace(path="/hub/token"))
    door.database = tables
    assert await door.refresh_user(person, machine) is True
    assert await last_seen() == long_ago
    assert await door.refresh_user(person, browser) is True
    assert await last_seen() > long_ago


def test_the_door_asks_again_every_minute_and_for_every_start() -> None:
    door = PetriHubAuthenticator()
    assert (door.auth_refresh_age, door.auth_refresh_strict) == (60, True)
    assert door.refresh_pre_spawn is True
    assert door.check_allowed("ada", None) is False
    assert door.check_allowed("ada", {"name": "ada", "admin": True}) is False
