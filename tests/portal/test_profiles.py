"""The menu as administrators keep it: change, preview, versions; and what people then may start."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from petrihub_core.database import Database
from petrihub_core.records import AuditRow, Group, GroupMember

from tests.portal.conftest import AddPerson
from tests.portal.guests import Guest, Site


@pytest.fixture
def menu(boss: Guest) -> Iterator[dict[str, Any]]:
    """The menu before the test; the same again after it."""
    before = boss.api("GET", "menu").json()
    yield before
    expected = boss.api("GET", "menu").json()["version"]
    kept = {key: before[key] for key in ("sizes", "profiles", "app_groups")}
    answer = boss.api("PUT", "menu", {**kept, "app_groups": {}, "expected": expected})
    assert answer.status_code == 200, answer.text


@pytest.fixture
async def group(tables: Database) -> str:
    name = f"g{uuid.uuid4().hex[:8]}"
    async with tables.session() as session:
        session.add(Group(name=name, title=f"Group {name}"))
    return name


def content(menu: dict[str, Any]) -> dict[str, Any]:
    return {key: menu[key] for key in ("sizes", "profiles", "app_groups")}


def form_of(menu: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The form of the profile "notebooks", changed."""
    fields = {
        "expected": str(menu["version"]),
        "old": "notebooks",
        "id": "notebooks",
        "title": "Notebooks",
        "image": "petrihub/base",
        "sizes": ["small", "medium"],
        "first": "small",
        "place": "2",
        "do": "save",
    }
    return {**fields, **changes}


async def test_a_restricted_profile_size_and_app_is_greyed_with_the_rule_and_a_way_to_ask(
    menu: dict[str, Any], group: str, add_person: AddPerson, guest: Guest, tables: Database
) -> None:
    admin = await add_person("content-admin")
    size = {"old": "medium", "id": "medium", "title": "Medium", "cpu": "2", "memory_gib": "4"}
    asked = {**size, "groups": group, "expected": str(menu["version"]), "do": "save"}
    assert admin.post("admin/profiles/sizes", asked).status_code == 303
    later = admin.api("GET", "menu").json()
    saved = admin.post("admin/profiles/edit", form_of(later, groups=group))
    assert saved.status_code == 303, saved.text
    later = admin.api("GET", "menu").json()
    rules = {"expected": str(later["version"]), "app-vscode": group}
    assert admin.post("admin/profiles/apps", rules).status_code == 303

    guest.sign_in()
    page = guest.client.get(f"/hub/spawn/{guest.name}/study").text
    assert f"Medium is for the group Group {group}. You can ask for it." in page
    assert f"Notebooks is for the group Group {group}. You can ask to join." in page
    assert "/services/portal/requests/new?kind=size&amp;subject=medium" in page
    assert f"/services/portal/requests/new?kind=group&amp;subject={group}" in page
    assert "/services/portal/requests/new?kind=app&amp;subject=vscode" in page
    form = {
        "_xsrf": page.split('name="_xsrf" value="')[1].split('"')[0],
        "profile": "bio-studio",
        "size": "medium",
    }
    forged = guest.client.post(f"/hub/spawn/{guest.name}/study", data=form).text
    assert "Ask your administrator." in forged
    async with tables.session() as session:
        row = await session.scalar(select(Group).where(Group.name == group))
        assert row is not None
        row.default_profile = "notebooks"
        session.add(GroupMember(group_id=row.id, person_id=guest.person_id))
    page = guest.client.get(f"/hub/spawn/{guest.name}/study").text
    assert f"is for the group Group {group}" not in page
    chosen = page.split('id="profile-notebooks"')[1].split(">")[0]
    assert "checked" in chosen


def test_the_preview_shows_the_pod_of_what_is_typed_on_each_backend(
    menu: dict[str, Any], boss: Guest, site: Site
) -> None:
    asked = form_of(menu, id="brand-new", old="", title="Brand new", preview_size="medium")
    page = boss.post("admin/profiles/preview", asked).text
    assert "The image petrihub/base is not built yet." in page
    assert "jupyterhub-singleuser" in page
    assert "memory: 4096 MiB" in page
    assert "JUPYTERHUB_API_TOKEN (a secret, not shown)" in page
    assert boss.api("GET", "menu").json() == menu
    body = {**content(menu), "profile": "notebooks", "size": "small", "person": boss.name}
    sample = boss.api("POST", "menu/preview", body).json()
    here = next(each for each in sample["previews"] if each["here"])
    assert (here["backend"], here["problem"]) == ("local", "")
    environment = next(fact for fact in here["facts"] if fact["name"] == "Environment")
    assert f"USER={boss.name}" in environment["lines"]
    assert f"JUPYTERHUB_ROOT_DIR={site.deployment.homes / boss.person_id}" in environment["lines"]


async def test_a_preview_for_others_says_what_they_would_be_refused(
    menu: dict[str, Any], group: str, boss: Guest, guest: Guest, add_person: AddPerson
) -> None:
    changed = content(menu)
    changed["profiles"][0]["groups"] = [group]
    profile = changed["profiles"][0]["id"]
    body = {**changed, "profile": profile, "person": guest.name}
    assert f"Group {group}" in boss.api("POST", "menu/preview", body).json()["refusal"]
    admin = await add_person("content-admin")
    assert admin.api("POST", "menu/preview", body).status_code == 403
    nobody = boss.api("POST", "menu/preview", {**body, "person": "nobody-at-all"})
    assert (nobody.status_code, "nobody with this name" in nobody.text) == (404, True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"title": ""}, "Title: give it one."),
        ({"id": "Not A Slug"}, "Short name: use 1 to 32 small letters"),
        ({"sizes": []}, "Sizes: choose at least one."),
        ({"sizes": ["surely-gone"]}, "offers size"),
        ({"groups": "no-such-group"}, "There is no group"),
        ({"id": "bio-studio"}, "There is already a profile"),
        ({"place": "first"}, "Place: this is not a number."),
        ({"place": "1e999"}, "Place: this is not a number."),
        ({"expected": "x"}, "This form is not complete."),
    ],
)
def test_a_wrong_profile_is_refused_in_words_and_what_was_typed_stays(
    menu: dict[str, Any], boss: Guest, changes: dict[str, Any], words: str
) -> None:
    typed = "{{ 7 * 7 }} <b>typed</b>"
    answer = boss.post("admin/profiles/edit", form_of(menu, description=typed, **changes))
    assert answer.status_code in (400, 409)
    assert words in answer.text
    assert "{{ 7 * 7 }} &lt;b&gt;typed&lt;/b&gt;" in answer.text
    assert boss.api("GET", "menu").json() == menu


def test_two_who_edit_at_once_do_not_overwrite_each_other(
    menu: dict[str, Any], boss: Guest
) -> None:
    first = boss.post("admin/profiles/edit", form_of(menu, title="First"))
    assert first.status_code == 303
    for _ in range(2):  # sending the refused form again does not push it through
        second = boss.post("admin/profiles/edit", form_of(menu, title="Second"))
        assert second.status_code == 409
        assert "Somebody else saved this page in the meantime." in second.text
        assert f'name="expected" value="{menu["version"]}"' in second.text
    titles = [each["title"] for each in boss.api("GET", "menu").json()["profiles"]]
    assert "First" in titles
    assert "Second" not in titles


async def test_versions_say_who_saved_them_and_an_older_one_is_put_back(
    menu: dict[str, Any], boss: Guest, tables: Database
) -> None:
    body = {**content(menu), "expected": menu["version"]}
    body["profiles"][0]["title"] = "Renamed"
    version = boss.api("PUT", "menu", body).json()["version"]
    newest = boss.api("GET", "menu/versions?limit=1").json()["items"][0]
    assert (newest["version"], newest["by"]) == (version, boss.name)
    older = boss.get("admin/profiles?version=0").text
    assert "This is an older version." in older
    assert "Renamed" not in older
    stale = boss.post("admin/profiles/put-back", {"expected": "0", "version": "0"})
    assert stale.status_code == 409
    done = boss.post("admin/profiles/put-back", {"expected": str(version), "version": "0"})
    assert done.status_code == 303
    assert boss.api("GET", "menu").json()["profiles"][0]["title"] == "Bio studio"
    gone = boss.get("admin/profiles?version=99999")
    assert (gone.status_code, "no such version" in gone.text) == (404, True)
    async with tables.reading() as session:
        row = await session.scalar(
            select(AuditRow).where(AuditRow.action == "menu.put.back", AuditRow.actor == boss.name)
        )
    assert row is not None
    assert row.detail == {"version": 0, "as": version + 1}


def test_the_last_profile_and_a_used_size_stay(menu: dict[str, Any], boss: Guest) -> None:
    used = {"expected": str(menu["version"]), "old": "small", "do": "delete"}
    assert "The size is offered by" in boss.post("admin/profiles/sizes", used).text
    alone = {**content(menu), "profiles": menu["profiles"][:1], "expected": menu["version"]}
    version = boss.api("PUT", "menu", alone).json()["version"]
    last = form_of(menu, old="bio-studio", do="delete", expected=str(version))
    assert "This is the last profile" in boss.post("admin/profiles/edit", last).text


async def test_who_may_only_look_cannot_change_the_menu(
    menu: dict[str, Any], add_person: AddPerson, guest: Guest
) -> None:
    auditor = await add_person("auditor")
    page = auditor.get("admin/profiles").text
    assert "New profile" not in page
    assert "Show the preview" not in auditor.get("admin/profiles/edit/notebooks").text
    body = {**content(menu), "expected": menu["version"]}
    assert auditor.api("PUT", "menu", body).status_code == 403
    assert guest.api("GET", "menu").status_code == 403


async def test_a_groups_limit_of_workspaces_counts(
    group: str, guest: Guest, tables: Database
) -> None:
    async with tables.session() as session:
        row = await session.scalar(select(Group).where(Group.name == group))
        assert row is not None
        row.workspaces_limit = 1
        session.add(GroupMember(group_id=row.id, person_id=guest.person_id))
    guest.sign_in()
    page = guest.client.get(f"/hub/spawn/{guest.name}/one").text
    headers = {"X-XSRFToken": page.split('name="_xsrf" value="')[1].split('"')[0]}
    # the start page has kept its place for "one"
    second = guest.client.put(f"/hub/api/users/{guest.name}/servers/two", headers=headers)
    assert second.status_code == 400
    assert "already has the maximum of 1" in second.json()["message"]
