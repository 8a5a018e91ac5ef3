"""Home: my workspaces from their name to their end, what failed and why, a hub that is busy."""

import asyncio
import time

import pytest
from sqlalchemy import select

from petrihub_core.database import Database
from petrihub_core.records import AuditRow, Notification

from tests.portal.guests import Guest, Site
from tests.portal.own_tokens import hub_of
from tests.portal.workspaces import Hub, hub_held

PATIENCE_S = 60.0


def mine(guest: Guest) -> dict[str, dict[str, object]]:
    """My workspaces by name, as the API tells them."""
    answer = guest.api("GET", "my/workspaces")
    assert answer.status_code == 200, answer.text
    return {each["name"]: each for each in answer.json()["workspaces"]}


def becomes(guest: Guest, name: str, state: str) -> dict[str, object]:
    """Wait until the workspace is in this state."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        found = mine(guest).get(name)
        if found and found["state"] == state:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{name} is not {state}: {mine(guest)}")


def home(guest: Guest, words: str) -> str:
    """The home page as soon as these words are in it; a busy hub is not waited for by the page."""
    until = time.monotonic() + PATIENCE_S
    while words not in (page := guest.get("/").text):
        assert time.monotonic() < until, page
        time.sleep(0.2)
    return page


def gone(guest: Guest, name: str) -> None:
    """Wait until the workspace is not there any more."""
    until = time.monotonic() + PATIENCE_S
    while name in mine(guest):
        assert time.monotonic() < until, mine(guest)
        time.sleep(0.2)


def test_a_newcomer_reads_what_to_do_first(guest: Guest) -> None:
    page = home(guest, "Set up your first workspace")
    assert "0 of 3 workspaces" in page
    assert "Start My Server" not in page


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("   ", "Give the workspace a name"),
        ("2024", "at least one letter"),
        ("Twice!", "already have a workspace"),
        ("x" * 65, "too long"),
    ],
)
def test_a_name_that_does_not_work_is_refused_beside_the_field(
    site: Site, guest: Guest, typed: str, words: str
) -> None:
    guest.get("/")
    Hub(site).client.put(f"users/{guest.name}/servers/twice", json={"display_name": "Twice"})
    answer = guest.post("home/workspaces", {"name": typed})
    assert answer.status_code in (400, 409)
    assert words in answer.text
    assert f'value="{typed.strip()}"' in answer.text


@pytest.mark.parametrize(
    ("typed", "where"),
    [
        ("rna-study", "rna-study"),
        ("  Größe  2026: RNA ", "grosse-2026-rna?display_name=Gr%C3%B6%C3%9Fe+2026%3A+RNA"),
        ("../../evil", "evil?display_name=..%2F..%2Fevil"),
    ],
)
def test_a_name_leads_to_the_page_where_a_profile_is_chosen(
    guest: Guest, typed: str, where: str
) -> None:
    answer = guest.post("home/workspaces", {"name": typed})
    assert answer.headers["location"] == f"/hub/spawn/{guest.name}/{where}"
    assert guest.client.get(answer.headers["location"]).status_code == 200


def test_at_the_limit_the_page_says_so(site: Site, guest: Guest) -> None:
    guest.get("/")
    for name in ("one", "two", "three"):
        Hub(site).client.put(f"users/{guest.name}/servers/{name}", json={"display_name": name})
    page = home(guest, "3 of 3 workspaces")
    assert "Delete one that you no longer need" in page
    assert "Not started yet" in page
    answer = guest.post("home/workspaces", {"name": "four"})
    assert answer.status_code == 409
    assert guest.api("DELETE", "my/workspaces/one").status_code == 204
    home(guest, "2 of 3 workspaces")


async def test_two_who_stop_it_at_the_same_moment_are_both_answered(
    site: Site, guest: Guest
) -> None:
    """F46: JupyterHub answers one of them with an error of its own."""
    guest.get("/")
    Hub(site).start(guest, "both")
    becomes(guest, "both", "running")
    asked = hub_of(site)
    await asyncio.gather(*(asked.stop(guest.name, "both") for _ in range(4)))
    becomes(guest, "both", "stopped")
    await asked.close()


async def test_a_workspace_lives_through_start_rename_restart_stop_and_delete(
    site: Site, guest: Guest, tables: Database
) -> None:
    guest.get("/")
    Hub(site).start(guest, "life")
    first = becomes(guest, "life", "running")
    assert (first["profile"], first["size"]) == ("notebooks", "small")
    page = guest.get("/").text
    assert "Notebooks · Small (1 CPU core, 2 GiB memory)" in page
    assert f'href="/user/{guest.name}/life/"' in page

    renamed = guest.api("PATCH", "my/workspaces/life", {"title": "Life  of <cells>"}).json()
    assert (renamed["title"], renamed["name"]) == ("Life of <cells>", "life")
    assert "Life of &lt;cells&gt;" in guest.get("/").text
    assert guest.api("PATCH", "my/workspaces/life", {"title": " "}).status_code == 400
    assert guest.api("POST", "my/workspaces/life/start").status_code == 409

    assert guest.api("POST", "my/workspaces/life/restart").json()["state"] == "restarting"
    again = guest.api("POST", "my/workspaces/life/restart")
    assert (again.status_code, "is restarting" in again.json()["detail"]) == (409, True)
    second = becomes(guest, "life", "running")
    assert second["started"] > first["started"]  # type: ignore[operator]
    assert (second["profile"], second["size"]) == ("notebooks", "small")
    assert second["title"] == "Life of <cells>"

    assert guest.api("POST", "my/workspaces/life/stop").json()["state"] in ("stopping", "stopped")
    becomes(guest, "life", "stopped")
    started = guest.post("workspaces/life/start")
    assert started.headers["location"] == f"/hub/spawn-pending/{guest.name}/life"
    becomes(guest, "life", "running")
    assert guest.api("DELETE", "my/workspaces/life").status_code == 204
    gone(guest, "life")
    async with tables.reading() as session:
        rows = await session.scalars(
            select(AuditRow.action)
            .where(AuditRow.actor == guest.name, AuditRow.action.startswith("workspace."))
            .order_by(AuditRow.seq)
        )
        done = [row.removeprefix("workspace.") for row in rows]
    assert done == ["rename", "restart", "stop", "start", "delete"]


async def test_a_failed_start_says_why_and_can_be_tried_again(
    site: Site, guest: Guest, tables: Database
) -> None:
    guest.get("/")
    home = site.deployment.homes / guest.person_id
    home.parent.mkdir(parents=True, exist_ok=True)
    home.write_text("a file where the home should be")
    body = {"user_options": {"profile": "notebooks", "size": "small"}}
    Hub(site).client.post(f"users/{guest.name}/servers/fragile", json=body)
    failed = becomes(guest, "fragile", "failed")
    assert "could not be started" in str(failed["reason"])
    page = guest.get("/").text
    assert "Try again" in page
    assert "Notifications, 1 unread" in page
    async with tables.reading() as session:
        [line] = await session.scalars(
            select(Notification).where(Notification.person_id == guest.person_id)
        )
    assert (line.kind, line.title) == ("failed", "fragile could not be started")
    assert line.text == failed["reason"]

    home.unlink()
    assert guest.post("workspaces/fragile/start").status_code == 303
    assert becomes(guest, "fragile", "running")["reason"] == ""
    guest.api("DELETE", "my/workspaces/fragile")


async def test_another_persons_workspace_is_not_there(
    site: Site, guest: Guest, boss: Guest
) -> None:
    guest.get("/")
    Hub(site).client.put(f"users/{guest.name}/servers/private", json={"display_name": "Private"})
    for path in ("stop", "start", "restart"):
        assert boss.api("POST", f"my/workspaces/private/{path}").status_code == 404
        assert boss.post(f"workspaces/private/{path}").status_code == 404
    assert boss.api("DELETE", "my/workspaces/private").status_code == 404
    assert "private" in mine(guest)


def test_while_the_hub_is_busy_the_page_shows_what_it_last_said(site: Site, guest: Guest) -> None:
    guest.get("/")
    Hub(site).client.put(f"users/{guest.name}/servers/known", json={"display_name": "Known"})
    home(guest, "Known")
    with hub_held(site):
        begun = time.monotonic()
        page = guest.get("/")
        seconds = time.monotonic() - begun
        model = guest.api("GET", "my/workspaces").json()
    assert page.status_code == 200
    assert "did not answer in time" in page.text
    assert "Known" in page.text
    assert seconds < 10
    assert model["fresh"] is False
    assert "did not answer in time" not in home(guest, 'data-pending="no"')
