"""Groups at the portal, their managers, and the hub's groups that follow."""

import httpx
import pytest
from sqlalchemy import select

from petrihub_core import audit
from petrihub_core.database import Database
from petrihub_core.records import AuditRow

from tests.portal.guests import PORTAL, Guest, Site


@pytest.fixture
def group(boss: Guest) -> str:
    name = f"g{boss.name}"
    made = boss.post("admin/groups", {"name": name, "title": "Imaging"})
    assert made.status_code == 303, made.text
    return name


def hub_members(site: Site, name: str) -> set[str] | None:
    """Who is in the hub's own group, asked with the portal's token."""
    from petrihub_cli.state import keys

    headers = {"Authorization": f"token {keys(site.deployment)['portal_token']}"}
    answer = httpx.get(f"{site.url}/hub/api/groups/{name}", headers=headers)
    return set(answer.json()["users"]) if answer.status_code == 200 else None


async def test_the_hubs_group_follows_ours(
    boss: Guest, guest: Guest, group: str, site: Site, tables: Database
) -> None:
    """Also for somebody who has never been at the hub."""
    assert hub_members(site, group) == set()
    assert boss.post(f"admin/groups/{group}/members", {"person": guest.name}).status_code == 303
    assert hub_members(site, group) == {guest.name}
    assert boss.post(f"admin/groups/{group}/members", {"person": guest.name}).status_code == 409
    assert boss.api("PUT", f"people/{guest.name}/groups", {"groups": []}).status_code == 200
    assert hub_members(site, group) == set()
    assert "Delete Imaging?" in boss.get(f"admin/groups/{group}/delete").text
    assert boss.post(f"admin/groups/{group}/delete").status_code == 303
    assert hub_members(site, group) is None
    assert boss.get(f"admin/groups/{group}").status_code == 404
    async with tables.reading() as session:
        assert await audit.verify(session) is None


async def test_a_manager_changes_members_and_nothing_else(
    boss: Guest, group: str, add_person
) -> None:
    ada, eve, kay = await add_person(), await add_person(), await add_person()
    for each in (ada, kay):
        assert boss.api("PUT", f"groups/{group}/members/{each.name}").status_code == 201
        patched = boss.api("PATCH", f"groups/{group}/members/{each.name}", {"manager": True})
        assert patched.status_code == 200
    assert "You manage it" in ada.get("groups").text
    assert ada.post(f"groups/{group}/members", {"person": eve.name}).status_code == 303
    assert eve.get(f"groups/{group}").status_code == 200
    for path, form in (
        (f"admin/groups/{group}", {"title": "Mine", "storage_gib": "9"}),
        (f"admin/groups/{group}/members/manager", {"person": eve.name, "manager": "yes"}),
        (f"admin/groups/{group}/delete", {}),
        (f"admin/people/{ada.name}/roles", {"roles": "super-admin"}),
    ):
        assert ada.post(path, form).status_code == 403, path
    assert ada.post(f"groups/{group}/members/remove", {"person": kay.name}).status_code == 403
    assert ada.post(f"groups/{group}/members/remove", {"person": eve.name}).status_code == 303
    assert eve.get(f"groups/{group}").status_code == 404, "not even there for others"
    assert eve.post(f"groups/{group}/members", {"person": eve.name}).status_code == 404
    assert ada.post(f"groups/{group}/members/remove", {"person": ada.name}).status_code == 303
    assert ada.get(f"groups/{group}").status_code == 404


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"title": ""}, "not a usable title"),
        ({"title": "x", "storage_gib": "lots"}, "whole number"),
        ({"title": "x", "storage_gib": "0"}, "between 1 and"),
        ({"title": "x", "workspaces_limit": "101"}, "between 1 and"),
        ({"title": "x", "default_profile": "nothing"}, "no profile"),
    ],
)
def test_wrong_rules_are_refused_in_words(boss: Guest, group: str, fields, words: str) -> None:
    answer = boss.post(f"admin/groups/{group}", fields)
    assert answer.status_code == 400
    assert words in answer.text


@pytest.mark.parametrize("name", ["admin", "hub", "con", "..", "a b", "", "x" * 40])
def test_kept_and_unusable_names_of_groups_are_refused(boss: Guest, name: str) -> None:
    assert boss.api("POST", "groups", {"name": name, "title": "x"}).status_code == 400


def test_rules_are_kept_and_shown(boss: Guest, group: str) -> None:
    fields = {"title": "Light sheet", "storage_gib": "500", "workspaces_limit": "5"}
    assert boss.post(f"admin/groups/{group}", fields).status_code == 303
    model = boss.api("GET", f"groups/{group}").json()
    assert (model["title"], model["storage_gib"]) == ("Light sheet", 500)
    assert "does not yet stop anybody" in boss.get(f"admin/groups/{group}").text
    assert "Light sheet" in boss.get(f"admin/groups?search={group}").text


def test_the_overview_speaks_of_what_one_may_see(boss: Guest) -> None:
    page = boss.get("admin").text
    for words in ("First steps", "Domain and TLS", "Backup", "Running workspaces", "Open requests"):
        assert words in page, words
    model = boss.api("GET", f"people/{boss.name}").json()
    assert model["last_seen_at"] is not None


async def test_the_overview_of_a_content_admin_has_no_settings(add_person) -> None:
    page = (await add_person("content-admin")).get("admin").text
    assert "Profiles and sizes" in page
    for words in ("Domain and TLS", "Backup", "Running workspaces", "Active people"):
        assert words not in page, words


async def test_only_a_group_that_is_open_is_told_to_others_and_asked_for(
    boss: Guest, guest: Guest, group: str
) -> None:
    asked = {"kind": "group", "subject": group, "reason": "I join the imaging."}

    def titles() -> list[str]:
        return [each["title"] for each in guest.api("GET", "rights").json()["groups"]]

    boss.api("PATCH", f"groups/{group}", {"open_to_requests": True})
    assert boss.api("GET", f"groups/{group}").json()["open_to_requests"] is True
    boss.api("PUT", f"groups/{group}", {"title": f"Imaging {group}"})
    assert boss.api("GET", f"groups/{group}").json()["open_to_requests"] is False
    assert f"Imaging {group}" not in titles()
    assert guest.api("POST", "requests", asked).status_code == 400
    assert guest.api("PATCH", f"groups/{group}", {"open_to_requests": True}).status_code == 404
    assert guest.post(f"groups/{group}/open", {"open": "yes"}).status_code == 404
    form = {"title": f"Imaging {group}", "open_to_requests": "on"}
    assert boss.post(f"admin/groups/{group}", form).status_code == 303
    assert f"Imaging {group}" in titles()
    assert guest.get(f"groups/{group}").status_code == 404, "its name, not its people"
    assert guest.api("GET", f"groups/{group}/requests").status_code == 404
    assert guest.api("POST", "requests", asked).status_code == 201
    # closed again: who has asked still gets an answer
    boss.api("PATCH", f"groups/{group}", {"open_to_requests": False})
    [waiting] = boss.api("GET", f"groups/{group}/requests").json()["requests"]
    answered = boss.api(
        "POST", f"groups/{group}/requests/{waiting['id']}/answer", {"approve": True}
    )
    assert answered.json()["state"] == "approved"
    assert guest.get(f"groups/{group}").status_code == 200


async def test_a_manager_answers_for_this_group_and_for_nothing_else(
    boss: Guest, guest: Guest, group: str, add_person, site: Site, tables: Database
) -> None:
    ada, eve, kay = await add_person(), await add_person(), await add_person()
    other = f"o{boss.name}"
    assert boss.api("POST", "groups", {"name": other}).status_code == 201
    for name, manager in ((group, ada), (other, kay)):
        assert boss.api("PUT", f"groups/{name}/members/{manager.name}").status_code == 201
        led = boss.api("PATCH", f"groups/{name}/members/{manager.name}", {"manager": True})
        assert led.status_code == 200
    assert boss.api("PUT", f"groups/{group}/members/{eve.name}").status_code == 201
    assert eve.api("PATCH", f"groups/{group}", {"open_to_requests": True}).status_code == 403
    assert ada.api("PATCH", f"groups/{group}", {"open_to_requests": True}).status_code == 200
    asked = {"kind": "group", "subject": group, "reason": "Next week."}
    request = guest.api("POST", "requests", asked).json()["id"]

    def told(who: Guest) -> list[str]:
        lines = who.api("GET", "feed").json()["lines"]
        return [line["link"].partition("#")[0] for line in lines if guest.name in line["title"]]

    assert told(ada) == [f"{PORTAL}groups/{group}"]
    assert told(boss) == [f"{PORTAL}admin/requests"]
    assert told(eve) == told(kay) == []
    answer = f"requests/{request}/answer"
    yes = {"approve": True}
    assert eve.api("GET", f"groups/{group}/requests").status_code == 403
    assert eve.api("POST", f"groups/{group}/{answer}", yes).status_code == 403
    assert kay.api("POST", f"groups/{group}/{answer}", yes).status_code == 404
    assert kay.api("POST", f"groups/{other}/{answer}", yes).status_code == 404
    assert kay.post(f"groups/{other}/requests/{request}", {"answer": "approve"}).status_code == 404
    assert ada.api("POST", f"admin/{answer}", yes).status_code == 403
    silent = ada.api("POST", f"groups/{group}/{answer}", {"approve": False})
    assert (silent.status_code, "answer is missing" in silent.text) == (400, True)
    assert ada.api("POST", f"groups/{group}/{answer}", yes).json()["answered_by"] == ada.name
    assert hub_members(site, group) == {ada.name, eve.name, guest.name}
    late = boss.api("POST", f"admin/{answer}", {"approve": False, "words": "No."})
    assert late.status_code == 409
    async with tables.reading() as session:
        rows = await session.execute(
            select(AuditRow.action, AuditRow.actor)
            .where(AuditRow.target.in_([f"group/{group}", f"{guest.name}/{request}"]))
            .order_by(AuditRow.seq.desc())
        )
        assert [tuple(row) for row in rows][:3] == [
            ("request.approved", ada.name),
            ("group.member.added", ada.name),
            ("request.asked", guest.name),
        ]
