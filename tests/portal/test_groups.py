"""Groups at the portal, their managers, and the hub's groups that follow."""

import httpx
import pytest

from petrihub_core import audit
from petrihub_core.database import Database

from tests.portal.guests import Guest, Site


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
