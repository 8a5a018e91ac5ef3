"""What the portal makes the hub end when somebody is deactivated, with workspaces that run."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import update

from petrihub_authenticators.pages.routes import page_routes
from petrihub_core.audit_search import Filter, search
from petrihub_core.database import Database
from petrihub_core.records import Person

from tests.authenticators.conftest import ANY_PAGE

AddPerson = Callable[..., Awaitable[str]]
OTHER = "another fine giraffe song"


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - another process changes it, there is no event here
            await asyncio.sleep(0.1)


@pytest.fixture
def page(hub, researcher: str):
    visitor = hub.visitor()
    visitor.sign_in(researcher)
    visitor.get(ANY_PAGE)
    return visitor


async def deactivated(tables: Database, name: str, *, active: bool = False) -> None:
    async with tables.session() as session:
        await session.execute(update(Person).where(Person.username == name).values(active=active))


def test_these_are_all_our_pages_at_the_hub() -> None:
    assert {route[0] for route in page_routes()} == {
        "/home",
        "/token",
        "/login",
        "/welcome",
        "/petrihub/sign-in/static/(.+)",
        "/api/users/([^/]+)/server",
        "/api/users/([^/]+)/servers/([^/]*)",
        "/api/users/([^/]+)/server/progress",
        "/api/users/([^/]+)/servers/([^/]*)/progress",
        "/api/petrihub/people/([^/]+)/end",
    }


async def test_pages_tokens_and_workspaces_end_at_once(
    hub, page, researcher: str, tables: Database
) -> None:
    token = hub.token(researcher)
    for name in ("one", "two"):
        started = page.own_api(researcher, "POST", f"/servers/{name}")
        assert started.status_code in (201, 202)
    await until(lambda: all(hub.ready(researcher).get(name) for name in ("one", "two")))
    await deactivated(tables, researcher)
    done = hub.portal("POST", f"petrihub/people/{researcher}/end")
    assert (done.status_code, done.json()) == (200, {"workspaces": 2})
    assert page.who() is None
    script = {"Authorization": f"token {token}"}
    assert hub.visitor().get("api/user", headers=script).status_code == 403
    await until(lambda: not any(hub.ready(researcher).values()))
    answer = hub.visitor().sign_in(researcher)
    assert answer.status_code == 403
    assert "deactivated" in answer.text
    again = hub.portal("POST", f"petrihub/people/{researcher}/end")
    assert (again.status_code, again.json()) == (200, {"workspaces": 0})

    await deactivated(tables, researcher, active=True)
    assert hub.visitor().sign_in(researcher).status_code == 303
    assert page.who() is None, "the old page stays out"


async def test_a_start_in_progress_is_stopped(hub, page, researcher: str, tables: Database) -> None:
    assert page.own_api(researcher, "POST", "/servers/never").status_code == 202
    await deactivated(tables, researcher)
    assert hub.portal("POST", f"petrihub/people/{researcher}/end").status_code == 200
    model = hub.portal("GET", f"users/{researcher}?include_stopped_servers=1").json()
    server = model["servers"].get("never", {"pending": None, "ready": False})
    assert (server["pending"], server["ready"]) == (None, False)


async def test_nobody_starts_something_in_their_name(
    hub, page, researcher: str, tables: Database
) -> None:
    await deactivated(tables, researcher)
    assert hub.portal("POST", f"users/{researcher}/servers/two").status_code == 403


async def test_the_hub_ends_nothing_for_people_whatever_they_are(
    hub, researcher: str, admin: str
) -> None:
    victim = hub.visitor()
    victim.sign_in(researcher)
    path = f"/hub/api/petrihub/people/{researcher}/end"
    stranger = hub.visitor().client
    for name in (researcher, admin):
        visitor = hub.visitor()
        visitor.sign_in(name)
        visitor.get(ANY_PAGE)
        token = hub.token(name)
        xsrf = visitor.client.cookies["_xsrf"]
        for headers in ({"X-XSRFToken": xsrf}, {}):
            assert visitor.client.post(path, headers=headers).status_code == 403
        script = {"Authorization": f"token {token}"}
        assert stranger.post(path, headers=script).status_code == 403
    probe = {"Authorization": "token probe-token-of-the-tests"}
    assert stranger.post(path, headers=probe).status_code == 403
    assert stranger.post(path).status_code == 403
    assert victim.who() == researcher


async def test_who_stops_a_workspace_at_the_hub_has_a_row(
    hub, page, researcher: str, tables: Database
) -> None:
    page.own_api(researcher, "POST", "/servers/one")
    await until(lambda: hub.ready(researcher).get("one"))
    assert page.own_api(researcher, "DELETE", "/servers/nothing").status_code == 404
    assert page.own_api(researcher, "DELETE", "/servers/one").status_code in (202, 204)
    assert hub.portal("DELETE", f"users/{researcher}/servers/one").is_success
    async with tables.reading() as session:
        rows = await search(session, Filter(action="workspace.", target=researcher), limit=5)
    assert [(row.actor, row.action, row.target) for row in rows] == [
        (researcher, "workspace.stop", f"{researcher}/one")
    ], "what the portal asks for has its row there"


async def test_ending_somebody_whom_the_hub_never_saw_is_nothing_to_do(hub) -> None:
    assert hub.portal("POST", "petrihub/people/never-here/end").json() == {"workspaces": 0}


@pytest.mark.parametrize("name", ["admin", "..", "hub", "con"])
async def test_nobody_renames_themselves(hub, page, researcher: str, name: str) -> None:
    before = len(hub.log)
    answer = page.own_api(researcher, "PATCH", "", json={"name": name, "admin": True})
    assert answer.status_code in (403, 404)
    assert page.who() == researcher
    assert not re.search(r"Traceback", hub.log[before:])


async def test_a_reset_keeps_running_workspaces(hub, page, reset, researcher: str) -> None:
    page.own_api(researcher, "POST", "/servers/one")
    await until(lambda: hub.ready(researcher).get("one"))
    code = await reset(researcher)
    fresh = hub.visitor()
    assert fresh.redeem(code, password=OTHER).status_code == 303
    assert page.who() is None
    assert hub.ready(researcher)["one"] is True
    tokens = hub.portal("GET", f"users/{researcher}/tokens").json()["api_tokens"]
    assert [token["note"] for token in tokens] == [f"Server at /user/{researcher}/one/"]
