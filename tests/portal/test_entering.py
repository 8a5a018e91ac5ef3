"""Who gets in: cookies, access tokens, forged requests, the size of what is sent."""

import asyncio

import httpx
import pytest

from petrihub_core.database import Database
from petrihub_core.errors import Unavailable
from petrihub_core.records import Person
from petrihub_portal import hub

from tests.portal.guests import API, PORTAL, Guest, Site


def test_without_a_sign_in_pages_lead_to_it_and_the_api_says_401(site: Site) -> None:
    page = httpx.get(f"{site.url}{PORTAL}", follow_redirects=False)
    assert page.status_code == 303
    assert page.headers["location"].startswith(f"{PORTAL}sign-in?next=")
    api = httpx.get(f"{site.url}{API}/me")
    assert (api.status_code, api.headers["www-authenticate"]) == (401, "Bearer")
    assert api.json()["hint"] == "Sign in, then try again."


def test_after_the_sign_in_the_home_page_says_who_one_is(guest: Guest) -> None:
    page = guest.get("/")
    assert page.status_code == 200
    assert f'data-user="{guest.name}"' in page.text


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example", "\\\\evil", "../../hub/logout"]
)
def test_the_sign_in_never_leads_elsewhere(guest: Guest, wanted: str) -> None:
    guest.sign_in()
    answer = guest.client.get(f"{PORTAL}sign-in", params={"next": wanted})
    assert str(answer.url).startswith(f"{guest.site.url}{PORTAL}")


async def test_a_deactivated_person_is_out_at_the_next_request(
    guest: Guest, tables: Database
) -> None:
    assert guest.get("/").status_code == 200
    async with tables.session() as session:
        person = await session.get_one(Person, guest.person_id)
        person.active = False
    assert guest.client.get(f"{API}/me").status_code == 401


def test_a_forged_sign_in_answer_is_refused(guest: Guest) -> None:
    guest.sign_in()
    answer = guest.client.get(f"{PORTAL}oauth_callback", params={"code": "x", "state": "y"})
    assert answer.status_code == 400
    assert "not begun in this browser" in answer.text


def test_two_tabs_may_sign_in_at_the_same_time(guest: Guest) -> None:
    guest.sign_in()
    begun = [
        guest.client.get(f"{PORTAL}sign-in", params={"next": tab}, follow_redirects=False)
        for tab in ("me?tab=1", "me?tab=2")
    ]
    for number, answer in enumerate(begun, start=1):
        back = guest.client.get(answer.headers["location"])
        assert str(back.url).endswith(f"me?tab={number}")


def test_a_browser_that_begins_many_sign_ins_keeps_the_last_ones(guest: Guest) -> None:
    """A73: the server keeps nothing of them, and the browser's cookies do not grow."""
    guest.sign_in()
    for _ in range(30):
        last = guest.client.get(f"{PORTAL}sign-in?next=me", follow_redirects=False)
    begun = [name for name in guest.client.cookies if name.startswith("petrihub-portal-state-")]
    assert len(begun) == 20
    assert str(guest.client.get(last.headers["location"]).url).endswith("/me")


def test_assets_are_kept_by_version_only(site: Site) -> None:
    where = f"{site.url}{PORTAL}static/portal/css/portal.css"
    assert "immutable" in httpx.get(f"{where}?v=1").headers["cache-control"]
    assert httpx.get(where).headers["cache-control"] == "no-cache"


async def test_a_hub_that_hangs_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_WHO", 0.2)
    over = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    hanging = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = hanging.sockets[0].getsockname()[1]
    asked = hub.Hub(f"http://127.0.0.1:{port}", "token-of-the-portal", "portal")
    try:
        with pytest.raises(Unavailable, match="The hub does not answer"):
            await asked.person_behind("token-of-somebody")
    finally:
        over.set()
        await asked.close()
        hanging.close()
