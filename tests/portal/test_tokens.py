"""Access tokens: made by people for scripts, bounded in what, how long and how many."""

import re

import httpx
import pytest

from petrihub_core import settings
from petrihub_core.audit_search import Filter, search
from petrihub_core.database import Database
from petrihub_core.records import RoleGrant
from petrihub_core.roles import Permission
from petrihub_core.settings.pages import LimitsSettings
from petrihub_portal.access_tokens import OPEN, OWN, WORDS

from tests.platform import PASSWORD
from tests.portal.conftest import AddPerson
from tests.portal.guests import API, Guest, Site

NEW = {"note": "nightly", "scopes": ["own"], "days": 7}


def by_token(site: Site, token: str, path: str, method: str = "GET", **more: object) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    where = f"{site.url}{API}/{path}"
    answer = httpx.request(method, where, headers=headers, trust_env=False, **more)  # type: ignore[arg-type]
    return answer.status_code


def test_every_permission_has_words_for_a_token() -> None:
    # what is public is written in workspaces, at no address of the portal
    assert set(WORDS) == {OWN, OPEN, *Permission} - {Permission.PUBLIC_WRITE}


async def test_a_token_made_on_the_page_is_shown_once_works_and_is_revoked(
    guest: Guest, site: Site, tables: Database
) -> None:
    made = guest.post("tokens", {"note": "nightly", "scopes": "own", "days": "7"})
    assert made.status_code == 303
    page = guest.get("tokens")
    shown = re.search(r'value="([0-9a-f]{32})" aria-label="The new token"', page.text)
    assert shown, page.text
    token = shown[1]
    assert by_token(site, token, "me") == 200
    again = guest.get("tokens")
    assert token not in again.text
    assert "nightly" in again.text
    listed = guest.get("api/v1/tokens").json()["tokens"]
    assert [(each["note"], each["scopes"]) for each in listed] == [("nightly", ["own"])]
    assert listed[0]["last_used"] is not None
    assert not listed[0]["foreign"]
    assert guest.post(f"tokens/{listed[0]['id']}/revoke").status_code == 303
    assert guest.get("api/v1/tokens").json()["tokens"] == []
    assert by_token(site, token, "../../../../hub/api/user") == 403, "the hub forgot it too"
    async with tables.reading() as session:
        rows = await search(session, Filter(actor=guest.name, action="token."), limit=5)
    assert [row.action for row in rows] == ["token.revoked", "token.made"]
    assert all(token not in str(row.detail) for row in rows)


async def test_a_token_does_no_more_than_its_scopes_and_than_the_person_may_now(
    add_person: AddPerson, site: Site, tables: Database
) -> None:
    auditor = await add_person("auditor")
    made = auditor.api("POST", "tokens", {**NEW, "scopes": ["audit:read"]}).json()
    assert by_token(site, made["token"], "audit") == 200
    assert by_token(site, made["token"], "health") == 403, "held by the person, not by the token"
    assert by_token(site, made["token"], "me") == 403, "its scopes do not name what is own"
    async with tables.session() as session:
        await session.delete(await session.get_one(RoleGrant, (auditor.person_id, "auditor")))
    assert by_token(site, made["token"], "audit") == 403, "what the person lost, the token lost"


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"scopes": ["audit:read"]}, 403),
        ({"scopes": ["admin:users"]}, 400),
        ({"scopes": []}, 422),
        ({"scopes": ["own"] * 100}, 422),
        ({"days": 91}, 400),
        ({"days": 0}, 422),
        ({"note": "x" * 81}, 422),
        ({"note": "two\nlines"}, 400),
        ({"note": "  "}, 400),
        ({"roles": ["admin"]}, 422),
    ],
)
def test_a_wish_that_goes_too_far_is_refused(
    guest: Guest, wish: dict[str, object], status: int
) -> None:
    answer = guest.api("POST", "tokens", {**NEW, **wish})
    assert answer.status_code == status, answer.text
    assert guest.get("api/v1/tokens").json()["tokens"] == []


def test_the_form_keeps_what_was_typed_when_it_is_refused(guest: Guest) -> None:
    answer = guest.post("tokens", {"note": "nightly", "days": "7"})
    assert answer.status_code == 400
    assert "Choose at least one permission" in answer.text
    assert 'value="nightly"' in answer.text


def test_a_token_makes_no_token(guest: Guest, site: Site) -> None:
    token = guest.api("POST", "tokens", NEW).json()["token"]
    assert by_token(site, token, "tokens", "POST", json=NEW) == 403
    assert by_token(site, token, "tokens") == 200


async def test_nobody_has_more_tokens_than_allowed(guest: Guest, tables: Database) -> None:
    """A73: as many as the limits page says, and not one more."""
    async with tables.session() as session:
        before = await settings.read(session, LimitsSettings)
        fewer = before.model_copy(update={"tokens_per_person": 2})
        await settings.write(session, fewer, by="tests")
    try:
        answers = [guest.api("POST", "tokens", NEW).status_code for _ in range(3)]
        assert answers == [201, 201, 409]
    finally:
        async with tables.session() as session:
            await settings.write(session, before, by="tests")


def test_nobody_makes_or_reads_a_token_at_the_hub_s_own_api(guest: Guest, site: Site) -> None:
    """A73: there our limits of number, life and scopes would not count."""
    made = guest.api("POST", "tokens", {**NEW, "scopes": ["own", "own:open"]}).json()
    guest.client.get("/hub/spawn")  # a page of the hub, which keeps its own token in a cookie
    xsrf = {"X-XSRFToken": guest.client.cookies.get("_xsrf", path="/hub/") or ""}
    tokens = f"/hub/api/users/{guest.name}/tokens"
    for wish in ({}, {"scopes": []}, {"roles": ["user"]}, {"expires_in": 1}):
        assert guest.client.post(tokens, json=wish, headers=xsrf).status_code == 403, wish
    assert guest.client.get(tokens, headers=xsrf).is_error
    assert guest.client.get(f"/hub/api/users/{guest.name}", headers=xsrf).status_code == 200
    with httpx.Client(base_url=site.url, trust_env=False) as script:
        by_password = {"auth": {"username": guest.name, "password": PASSWORD}}
        assert script.post(tokens, json=by_password).status_code == 403
        script.headers["Authorization"] = f"token {made['token']}"
        assert script.post(tokens, json={}).status_code == 403
        assert script.get(tokens).is_error
        assert script.delete(f"{tokens}/{made['id']}").is_error
    listed = guest.get("api/v1/tokens").json()["tokens"]
    assert [each["id"] for each in listed] == [made["id"]]


async def test_nobody_revokes_the_token_of_somebody_else(guest: Guest, boss: Guest) -> None:
    made = guest.api("POST", "tokens", NEW).json()
    assert boss.api("DELETE", f"tokens/{made['id']}").status_code == 404
    assert len(guest.get("api/v1/tokens").json()["tokens"]) == 1


def test_the_hub_s_own_page_of_tokens_leads_here(guest: Guest) -> None:
    guest.sign_in()
    assert str(guest.client.get("/hub/token").url).endswith("/services/portal/tokens")


def test_the_page_of_the_api_lists_every_route(guest: Guest) -> None:
    page = guest.get("api")
    assert page.status_code == 200
    for path in guest.get("api/v1/openapi.json").json()["paths"]:
        assert path in page.text
