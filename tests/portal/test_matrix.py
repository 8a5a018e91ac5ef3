"""The negative matrix: every role at every route of the table, by cookie and by access token.

Nothing is listed by hand: routes come from the app's own table, roles from `ROLES`. The app runs in
this process on the tables and the hub of the running site, so that the whole takes seconds.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from fastapi import FastAPI

from petrihub_cli.state import inner_ports, keys
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.records import Account, Person, RoleGrant, new_id
from petrihub_core.roles import RESEARCHER, ROLES, Permission, permissions_in
from petrihub_portal import routing
from petrihub_portal.app import make_app
from petrihub_portal.hub import Hub
from petrihub_portal.registration import CLIENT_ID, OWN_SCOPE, SCOPE, SERVICE
from petrihub_portal.routing import API, Area, Open, Rule
from petrihub_portal.serve import make_portal
from petrihub_portal.visit import SESSION_COOKIE, gate

from tests.portal.guests import PORTAL, Guest, Site
from tests.portal.own_tokens import token_of_workspace
from tests.portal.test_checkpoints import running

ROOT = PORTAL.rstrip("/")
NO_SCOPE, OWN, ADMIN_A, ADMIN_B = "nothing", "own", "all but health", "health alone"
EVERYTHING = "everything"
SCOPES = {
    NO_SCOPE: [],
    OWN: [OWN_SCOPE],
    ADMIN_A: [f"{SCOPE}{each}" for each in Permission if each != Permission.HEALTH_READ],
    ADMIN_B: [f"{SCOPE}{Permission.HEALTH_READ}"],
    EVERYTHING: [OWN_SCOPE, *(f"{SCOPE}{each}" for each in Permission)],
}


@dataclass
class Visitor:
    """One row of the matrix: somebody with a cookie and one token of each kind."""

    name: str
    permissions: frozenset[Permission]
    signed_in: bool
    cookie: str = ""
    xsrf: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    guest: Guest | None = None

    def lacks(self, rule: Rule) -> bool:
        if rule.needs is Open.EVERYBODY:
            return False
        if rule.needs is Open.WORKSPACE:
            return True  # no person: only a running workspace, for itself
        if not self.signed_in:
            return True
        return rule.needs is not Open.SIGNED_IN and rule.needs not in self.permissions


@dataclass
class House:
    """The app with its table, and everybody who tries."""

    app: FastAPI
    client: httpx.AsyncClient
    host: str
    visitors: list[Visitor] = field(default_factory=list)

    @property
    def rules(self) -> tuple[Rule, ...]:
        table: tuple[Rule, ...] = self.app.state.rules
        return table

    async def ask(self, rule: Rule, headers: dict[str, str], **more: object) -> int:
        path = re.sub(r"\{[^}]+\}", "1", rule.path)
        answer = await self.client.request(
            rule.method,
            ROOT + path,
            headers=headers,
            **more,  # type: ignore[arg-type]
        )
        return answer.status_code

    def by_name(self, name: str) -> Visitor:
        return next(each for each in self.visitors if each.name == name)


async def enter(site: Site, hub: Hub, name: str, roles: tuple[str, ...], hashed: str) -> Visitor:
    """Somebody new with these roles, who signs in; the deactivated one is so from then on."""
    tables = site.database()
    async with tables.session() as session:
        person = Person(issuer=LOCAL_ISSUER, subject=new_id(), username=f"m{new_id()[:10]}")
        session.add(person)
        await session.flush()
        session.add(Account(person_id=person.id, password_hash=hashed))
        for role in roles:
            session.add(RoleGrant(person_id=person.id, role=role, granted_by="tests"))
    guest = Guest(site, person.id, person.username)
    await asyncio.to_thread(guest.sign_in)
    cookie = next(each for each in guest.client.cookies.jar if each.name == SESSION_COOKIE)
    visitor = Visitor(
        name, permissions_in(roles), name != "deactivated", cookie.value or "", guest.xsrf
    )
    visitor.guest = guest
    for kind, scopes in SCOPES.items():
        body = {"scopes": [f"access:services!service={SERVICE}", *scopes]}
        made = await hub.call("POST", "users", guest.name, "tokens", body=body)
        visitor.tokens[kind] = made["token"]
    if not visitor.signed_in:
        async with tables.session() as session:
            (await session.get_one(Person, person.id)).active = False
    await tables.close()
    return visitor


@pytest.fixture(scope="module")
def crowd(site: Site, password_hash: str) -> list[Visitor]:
    """One visitor for each role, one without any, and one who was deactivated."""
    people = {RESEARCHER: (), "deactivated": (*ROLES,), **{each: (each,) for each in ROLES}}

    async def come() -> list[Visitor]:
        hub = Hub(api_of(site), keys(site.deployment)["portal_token"], CLIENT_ID)
        try:
            return [await enter(site, hub, *each, password_hash) for each in people.items()]
        finally:
            await hub.close()

    return asyncio.run(come())


def api_of(site: Site) -> str:
    return f"http://127.0.0.1:{inner_ports(site.deployment)['hub']}/hub/api"


@pytest.fixture
async def house(site: Site, crowd: list[Visitor]) -> AsyncIterator[House]:
    portal = make_portal(site.deployment, keys(site.deployment), api_of(site))
    app = make_app(portal)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, root_path=ROOT)
    async with httpx.AsyncClient(transport=transport, base_url=site.url) as client:
        yield House(app, client, httpx.URL(site.url).netloc.decode(), crowd)
    await portal.hub.close()
    await portal.database.close()


def wrong_token(visitor: Visitor, rule: Rule) -> str:
    """The token of this visitor that allows everything but what this route needs."""
    if rule.needs is Open.WORKSPACE:
        return visitor.tokens[EVERYTHING]
    if rule.needs is Open.SIGNED_IN or rule.needs is Permission.HEALTH_READ:
        return visitor.tokens[ADMIN_A]
    return visitor.tokens[ADMIN_B]


async def test_who_lacks_a_permission_gets_in_nowhere(house: House) -> None:
    let_in = []

    async def must_fail(rule: Rule, who: str, how: str, headers: dict[str, str]) -> None:
        status = await house.ask(rule, headers)
        turned_away = (401, 403) if rule.is_api else (303, 401, 403)
        if status not in turned_away:
            let_in.append(f"{rule.method} {rule.path} by {who} with {how}: {status}")

    assert len(house.rules) > 20
    for rule in house.rules:
        if rule.needs is not Open.EVERYBODY:
            await must_fail(rule, "anonymous", "nothing", {})
            await must_fail(rule, "anonymous", "a wrong token", {"Authorization": "Bearer x"})
        for visitor in house.visitors:
            session = {"Cookie": f"{SESSION_COOKIE}={visitor.cookie}", "X-XSRFToken": visitor.xsrf}
            if visitor.lacks(rule):
                await must_fail(rule, visitor.name, "a cookie", session)
            if rule.needs is Open.EVERYBODY:
                continue
            for how, token in (
                ("no scope", visitor.tokens[NO_SCOPE]),
                ("another scope", wrong_token(visitor, rule)),
            ):
                await must_fail(rule, visitor.name, how, {"Authorization": f"Bearer {token}"})
    assert let_in == []


async def test_the_token_of_a_workspace_opens_nothing_but_its_own_checkpoints(
    house: House, site: Site
) -> None:
    """As every program in the workspace can read it, however much its owner may do.

    That it is refused after the stop, and for other workspaces: tests/portal/test_checkpoints.py.
    """
    boss = house.by_name("super-admin")
    assert boss.guest is not None
    tables = site.database()
    await running(tables, boss.guest)
    await tables.close()
    headers = {"Authorization": f"Bearer {await token_of_workspace(site, boss.guest.name)}"}
    wrong = []
    own = 0
    for rule in house.rules:
        status = await house.ask(rule, headers)
        if rule.needs is Open.WORKSPACE:
            own += 1
            wrong += [] if status in (200, 404, 422) else [f"{rule.path}: {status}"]
        elif rule.needs is not Open.EVERYBODY:
            refused = (401, 403) if rule.is_api else (303, 401, 403)
            wrong += [] if status in refused else [f"{rule.method} {rule.path}: {status}"]
    assert wrong == []
    assert own >= 6


async def test_who_holds_a_permission_gets_an_answer_and_never_a_crash(house: House) -> None:
    """A16 as well: no answer with credentials may be read by a page of another origin."""
    wrong = []
    boss = house.by_name("super-admin")
    foreign = {"Origin": "https://evil.example", "Cookie": f"{SESSION_COOKIE}={boss.cookie}"}
    for rule in house.rules:
        if rule.changes or rule.needs is Open.WORKSPACE:
            continue  # what it does is the business of the area's own tests
        path = ROOT + re.sub(r"\{[^}]+\}", "1", rule.path)
        answer = await house.client.get(path, headers=foreign)
        asked = await house.client.options(path, headers=foreign)
        if answer.status_code in (401, 403) or answer.status_code >= 500:
            wrong.append(f"{rule.path}: {answer.status_code}")
        shared = [key for key in (*answer.headers, *asked.headers) if key.startswith("access-con")]
        wrong.extend(f"{rule.path}: {key}" for key in shared)
    assert wrong == []


async def test_no_change_by_a_forged_request(house: House) -> None:
    """A13: each way in which a foreign page can make a browser send something."""
    boss, other = house.by_name("super-admin"), house.by_name("auditor")
    ours = f"http://{house.host}"
    forged: dict[str, dict[str, str]] = {
        "no token": {},
        "an empty token": {"X-XSRFToken": ""},
        "another person's token": {"X-XSRFToken": other.xsrf},
        "a token of another session": {"X-XSRFToken": secrets.token_hex(32)},
        "a token that is no text": {"X-XSRFToken": "\u00e9\u00fc"},
        "a form": {"Content-Type": "application/x-www-form-urlencoded"},
        "JSON as text": {"Content-Type": "text/plain"},
        "a foreign origin": {"X-XSRFToken": boss.xsrf, "Origin": "https://evil.example"},
        "no origin": {"X-XSRFToken": boss.xsrf, "Origin": "null"},
        "another port": {"X-XSRFToken": boss.xsrf, "Origin": "http://127.0.0.1:1"},
        "a sibling's origin": {"X-XSRFToken": boss.xsrf, "Origin": f"{ours}.evil.example"},
        "cross-site": {"X-XSRFToken": boss.xsrf, "Sec-Fetch-Site": "cross-site"},
        "same-site": {"X-XSRFToken": boss.xsrf, "Sec-Fetch-Site": "same-site"},
        "no-cors": {"X-XSRFToken": boss.xsrf, "Sec-Fetch-Mode": "no-cors"},
        "no-cors of ours": {
            "X-XSRFToken": boss.xsrf,
            "Sec-Fetch-Mode": "no-cors",
            "Sec-Fetch-Site": "same-origin",
        },
    }
    let_in = []
    tried = 0
    for rule in house.rules:
        if not rule.changes or rule.needs is Open.EVERYBODY:
            continue
        for how, headers in forged.items():
            tried += 1
            sent = {"Cookie": f"{SESSION_COOKIE}={boss.cookie}", "Host": house.host, **headers}
            raw = {key: value.encode("utf8") for key, value in sent.items()}
            status = await house.ask(rule, raw, content=b'{"a": 1}')  # type: ignore[arg-type]
            if status != 403:
                let_in.append(f"{rule.method} {rule.path} with {how}: {status}")
    assert let_in == []
    assert tried >= len(forged)


async def test_the_right_token_is_taken_in_a_header_and_in_a_form(house: House) -> None:
    """The counterpart: the forged requests above fail for the forgery alone."""
    boss = house.by_name("super-admin")
    rule = next(each for each in house.rules if each.path == "/admin/audit/check")
    cookie = {"Cookie": f"{SESSION_COOKIE}={boss.cookie}", "Origin": f"http://{house.host}"}
    assert await house.ask(rule, {**cookie, "X-XSRFToken": boss.xsrf}) == 200
    assert await house.ask(rule, cookie, data={"_xsrf": boss.xsrf}) == 200
    assert await house.ask(rule, cookie, data={"_xsrf": "0" * 64}) == 403


async def test_the_hub_s_own_api_shares_nothing_with_another_origin(site: Site) -> None:
    foreign = {"Origin": "https://evil.example"}
    shared = []
    async with httpx.AsyncClient(base_url=site.url, trust_env=False) as client:
        for path in ("/hub/api/", "/hub/api/user", "/hub/api/users", f"{ROOT}{API}/me"):
            for method in ("GET", "OPTIONS"):
                answer = await client.request(method, path, headers=foreign)
                shared += [f"{path}: {k}" for k in answer.headers if "allow-credentials" in k]
    assert shared == []


async def test_no_body_is_longer_than_the_route_takes(house: House) -> None:
    """A71: a body is cut at its limit before anybody parses it, signed in or not."""
    for rule in house.rules:
        if rule.changes and rule.max_body <= 64 * 1024:
            assert await house.ask(rule, {}, content=b"x" * (rule.max_body + 1)) == 413, rule


def test_an_app_with_a_route_without_a_rule_does_not_start() -> None:
    async def endpoint() -> str:
        return "open to all"

    app = FastAPI()
    app.router.route_class = routing.gated_route(gate)
    with pytest.raises(LookupError, match="/hole: a route without a rule"):
        app.add_api_route("/hole", endpoint)
    app = FastAPI(openapi_url=None)
    routing.install(app, gate, (Area("Empty"),))
    app.add_route("/hole", endpoint)
    with pytest.raises(LookupError, match="/hole"):
        routing.require_rules(app)
