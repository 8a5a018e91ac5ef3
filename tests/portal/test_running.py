"""Everybody's running workspaces and the machine: list, search, stop with a word to the owner."""

import asyncio

import pytest
from sqlalchemy import select

from petrihub_core.database import Database
from petrihub_core.errors import Refused
from petrihub_core.records import AuditRow, Notification
from petrihub_portal.machines import EngineLook, _look_at_engine
from petrihub_portal.running import Running, chosen

from tests.portal.conftest import AddPerson
from tests.portal.guests import Guest


def start(guest: Guest, name: str) -> None:
    """Start a workspace as the start page does, and wait until the hub has taken it."""
    page = guest.client.get(f"/hub/spawn/{guest.name}/{name}").text
    form = {
        "_xsrf": page.split('name="_xsrf" value="')[1].split('"')[0],
        "profile": "notebooks",
        "size": "small",
    }
    answer = guest.client.post(f"/hub/spawn/{guest.name}/{name}", data=form)
    assert answer.status_code == 200, answer.text


def listed(admin: Guest, owner: str) -> list[dict[str, object]]:
    items: list[dict[str, object]] = admin.api("GET", f"workspaces?search={owner}").json()["items"]
    return items


async def test_an_admin_finds_and_stops_workspaces_and_the_owner_reads_why(
    add_person: AddPerson, tables: Database
) -> None:
    owner = (await add_person()).sign_in()
    admin = await add_person("technical-admin")
    start(owner, "study")
    start(owner, "other")
    found = listed(admin, owner.name)
    assert [(item["name"], item["size"]) for item in found] == [
        ("other", "small"),
        ("study", "small"),
    ]
    promised = admin.api("GET", "machines").json()["reserved"]
    assert promised["workspaces"] >= 2
    assert promised["cpu"] >= 2
    page = admin.get(f"admin/workspaces?q={owner.name}&sort=workspace&down=1").text
    assert page.index(f"{owner.name}/study") < page.index(f"{owner.name}/other")
    assert "Notebooks" in page

    one = {"one": f"{owner.name}/study"}
    assert f"Stop study of {owner.name}?" in admin.post("admin/workspaces/stop", one).text
    sure = {"workspace": f"{owner.name}/study", "sure": "yes", "reason": "A new disk."}
    assert admin.post("admin/workspaces/stop", sure).status_code == 303
    body = {"workspaces": [{"owner": owner.name, "name": name} for name in ("other", "gone")]}
    answers = admin.api("POST", "workspaces/stop", body).json()
    assert [bool(answer["problem"]) for answer in answers] == [False, True]
    assert "does not run" in answers[1]["problem"]
    for _ in range(120):
        if not listed(admin, owner.name):
            break
        await asyncio.sleep(0.25)
    assert listed(admin, owner.name) == []
    async with tables.reading() as session:
        told = list(
            await session.scalars(
                select(Notification.text).where(
                    Notification.person_id == owner.person_id, Notification.kind == "stopping"
                )
            )
        )
        noted = await session.execute(
            select(AuditRow.target, AuditRow.outcome).where(
                AuditRow.action == "workspace.stopped", AuditRow.actor == admin.name
            )
        )
        rows = {(row.target, row.outcome) for row in noted}
    assert any("The reason: A new disk." in text for text in told)
    assert len(told) == 2
    assert rows == {
        (f"{owner.name}/study", "ok"),
        (f"{owner.name}/other", "ok"),
        (f"{owner.name}/gone", "failed"),
    }


async def test_who_may_only_look_cannot_stop(add_person: AddPerson, guest: Guest) -> None:
    auditor = await add_person("auditor")
    body = {"workspaces": [{"owner": "a", "name": "b"}]}
    assert auditor.get("admin/workspaces").status_code == 200
    assert auditor.api("POST", "workspaces/stop", body).status_code == 403
    assert auditor.get("admin/machines").status_code == 403
    assert guest.api("GET", "workspaces").status_code == 403


def test_nothing_chosen_and_wrong_names_are_refused_in_words(boss: Guest) -> None:
    assert "No workspace is chosen" in boss.post("admin/workspaces/stop", {}).text
    wrong = boss.post("admin/workspaces/stop", {"workspace": "x", "sure": "yes"})
    assert (wrong.status_code, "names no workspace" in wrong.text) == (400, True)
    assert "cannot be sorted by this" in boss.get("admin/workspaces?sort=colour").text
    assert "Nothing found" in boss.get("admin/workspaces?q=surely-nobody").text


def test_the_machine_says_what_it_has(boss: Guest) -> None:
    machine = boss.api("GET", "machines").json()["machine"]
    assert 0 < machine["memory_used"] < machine["memory_total"]
    assert 0 < machine["disk_used"] <= machine["disk_total"]
    page = boss.get("admin/machines").text
    assert "sizes are advice, not limits" in page


async def test_an_engine_that_does_not_answer_is_named(tmp_path: object) -> None:
    look = await _look_at_engine(f"{tmp_path}/no-engine.sock")
    assert isinstance(look, EngineLook)
    assert look.problem.startswith("The Docker engine is not running.")


def test_search_and_order() -> None:
    rows = [
        Running(owner=owner, name=name, profile="bio", size="small", started=None,
                last_activity=None, pending="")
        for owner, name in (("ada", "b"), ("bob", "a"), ("ada", "c"))
    ]  # fmt: skip
    assert [row.key for row in chosen(rows, search="ADA")] == ["ada/b", "ada/c"]
    ordered = chosen(rows, sort="workspace", descending=True)
    assert [row.key for row in ordered] == ["ada/c", "ada/b", "bob/a"]
    with pytest.raises(Refused, match="cannot be sorted"):
        chosen(rows, sort="colour")
