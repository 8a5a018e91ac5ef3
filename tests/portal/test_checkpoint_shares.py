"""Sharing checkpoints on the pages and in the API: who may use one, for how long, and who cannot.

That the token service and the spawner ask the same rules is shown in tests/images/test_shares.py.
"""

import re
from datetime import timedelta

import pytest
from sqlalchemy import delete, select

from petrihub_core import checkpoint_access
from petrihub_core.audit import verify
from petrihub_core.checkpoint_records import SidecarInstance
from petrihub_core.checkpoint_share_records import CheckpointShare
from petrihub_core.database import Database
from petrihub_core.records import AuditRow, Group, GroupMember, Notification, Person, now

from tests.portal.conftest import AddPerson
from tests.portal.guests import PORTAL, Guest
from tests.portal.test_checkpoints import ordered, running


@pytest.fixture
async def ada(guest: Guest, tables: Database) -> Guest:
    await running(tables, guest)
    return guest


@pytest.fixture
async def eve(add_person: AddPerson) -> Guest:
    return await add_person()


@pytest.fixture
async def saved_one(ada: Guest, tables: Database) -> str:
    return await ordered(tables, ada, "with DESeq2")


def shared_to(ada: Guest, checkpoint: str, **wish: object) -> dict[str, str]:
    answer = ada.api("POST", f"my/checkpoints/{checkpoint}/shares", {"mode": "read", **wish})
    assert answer.status_code == 201, answer.text
    made: dict[str, str] = answer.json()
    return made


def ids(who: Guest) -> list[str]:
    return [each["id"] for each in who.api("GET", "checkpoints/shared").json()]


async def startable(tables: Database, who: Guest) -> set[str]:
    """What the start page would offer."""
    async with tables.reading() as session:
        found, _ = await checkpoint_access.usable(session, who.person_id)
    return {each.id for each in found}


async def test_a_person_sees_it_until_the_owner_ends_it(
    ada: Guest, eve: Guest, saved_one: str, tables: Database
) -> None:
    assert ids(eve) == []
    assert eve.get(f"checkpoints/{saved_one}/changes").status_code == 404
    form = {"with": "person", "person": eve.name, "mode": "derive", "hours": "24"}
    assert ada.post(f"checkpoints/{saved_one}/sharing", form).status_code == 303
    (shared,) = eve.api("GET", "checkpoints/shared").json()
    assert (shared["id"], shared["sharer"], shared["mode"]) == (saved_one, ada.name, "derive")
    page = eve.get("checkpoints").text
    assert "Shared with me" in page
    assert f"shared by {ada.name}" in page
    assert eve.get(f"checkpoints/{saved_one}/changes").status_code == 200
    assert eve.api("GET", f"my/checkpoints/{saved_one}").json()["name"] == "with DESeq2"
    assert await startable(tables, eve) == {saved_one}
    async with tables.reading() as session:
        told = await session.scalars(
            select(Notification.title).where(Notification.person_id == eve.person_id)
        )
        assert list(told) == [f"{ada.name} shares the checkpoint with DESeq2 with you"]

    (share,) = ada.api("GET", f"my/checkpoints/{saved_one}/shares").json()
    assert share["title"] == eve.name
    ended = ada.post(f"checkpoints/{saved_one}/sharing/end", {"share": share["id"]})
    assert ended.status_code == 303
    assert ids(eve) == []
    assert await startable(tables, eve) == set()
    assert eve.get(f"checkpoints/{saved_one}/changes").status_code == 404
    start = eve.api("POST", f"my/checkpoints/{saved_one}/start", {"workspace": "x"})
    assert start.status_code == 404
    async with tables.reading() as session:
        actions = await session.scalars(
            select(AuditRow.action)
            .where(AuditRow.target.endswith(saved_one), AuditRow.action.like("%share%"))
            .order_by(AuditRow.seq)
        )
        assert list(actions) == ["checkpoint.share.made", "checkpoint.share.ended"]
        assert await verify(session) is None


async def test_who_may_use_it_may_change_nothing(ada: Guest, eve: Guest, saved_one: str) -> None:
    """A52: a share gives one checkpoint, not its siblings, and no right over it."""
    shared_to(ada, saved_one, kind="person", who=eve.name, mode="derive")
    for method, path, body in (
        ("DELETE", f"my/checkpoints/{saved_one}", None),
        ("POST", f"my/checkpoints/{saved_one}/confirm", None),
        ("POST", f"my/checkpoints/{saved_one}/cancel", None),
        ("GET", f"my/checkpoints/{saved_one}/shares", None),
        ("GET", f"my/checkpoints/{saved_one}/starts", None),
        (
            "POST",
            f"my/checkpoints/{saved_one}/shares",
            {"kind": "link", "mode": "read"},
        ),
    ):
        assert eve.api(method, path, body).status_code == 404, path
    assert eve.get(f"checkpoints/{saved_one}/sharing").status_code == 404
    assert eve.post(f"checkpoints/{saved_one}/delete").status_code == 404
    assert eve.api("GET", "my/checkpoints").json() == []


async def test_a_group_counts_at_the_moment_of_use(
    ada: Guest, eve: Guest, saved_one: str, tables: Database
) -> None:
    async with tables.session() as session:
        lab = Group(name=f"g{saved_one[:8]}", title="The lab")
        session.add(lab)
        await session.flush()
        session.add(GroupMember(group_id=lab.id, person_id=ada.person_id))
    shared_to(ada, saved_one, kind="group", who=lab.name)
    assert ids(eve) == []
    async with tables.session() as session:
        session.add(GroupMember(group_id=lab.id, person_id=eve.person_id))
    assert ids(eve) == [saved_one]
    async with tables.session() as session:
        await session.execute(delete(GroupMember).where(GroupMember.person_id == eve.person_id))
    assert ids(eve) == []


async def test_what_has_expired_or_whose_owner_is_gone_does_not_count(
    ada: Guest, eve: Guest, saved_one: str, tables: Database
) -> None:
    made = shared_to(ada, saved_one, kind="person", who=eve.name, hours=1)
    assert ids(eve) == [saved_one]
    async with tables.session() as session:
        owner = await session.get_one(Person, ada.person_id)
        owner.active = False
    assert ids(eve) == []
    async with tables.session() as session:
        (await session.get_one(Person, ada.person_id)).active = True
        row = await session.get_one(CheckpointShare, made["id"])
        row.expires_at = now() - timedelta(seconds=1)
    assert ids(eve) == []
    assert await startable(tables, eve) == set()


async def test_a_link_is_taken_once_signed_in_and_ends_with_its_share(
    ada: Guest, eve: Guest, saved_one: str, tables: Database
) -> None:
    form = {"with": "link", "mode": "derive", "hours": "24"}
    page = ada.post(f"checkpoints/{saved_one}/sharing", form)
    found = re.search(rf"{PORTAL}checkpoints/join#([\w-]+)", page.text)
    assert found, page.text
    code = found[1]
    assert code not in ada.get(f"checkpoints/{saved_one}/sharing").text
    async with tables.reading() as session:
        row = (
            await session.scalars(
                select(CheckpointShare).where(CheckpointShare.checkpoint_id == saved_one)
            )
        ).one()
        assert code not in (row.code_hash or "")
    assert eve.get("checkpoints/join").status_code == 200
    assert eve.api("POST", "checkpoints/join", {"code": code + "x"}).status_code == 404
    assert ada.api("POST", "checkpoints/join", {"code": code}).status_code == 409
    assert eve.post("checkpoints/join", {"code": code}).status_code == 303
    assert eve.api("POST", "checkpoints/join", {"code": code}).json()["id"] == saved_one
    (share,) = ada.api("GET", f"my/checkpoints/{saved_one}/shares").json()
    assert share["joined"] == [eve.name]
    path = f"my/checkpoints/{saved_one}/shares/{share['id']}"
    assert ada.api("DELETE", path).status_code == 204
    assert ids(eve) == []
    assert eve.api("POST", "checkpoints/join", {"code": code}).status_code == 404


async def test_read_only_is_not_saved_and_derived_is_ones_own(
    ada: Guest, eve: Guest, saved_one: str, tables: Database
) -> None:
    share = shared_to(ada, saved_one, kind="person", who=eve.name, mode="read")
    await running(tables, eve, "hers")
    async with tables.session() as session:
        instance = (
            await session.scalars(
                select(SidecarInstance).where(SidecarInstance.owner == eve.person_id)
            )
        ).one()
        instance.checkpoint_id = saved_one
    save = ("POST", "my/workspaces/hers/checkpoints", {"name": "mine"})
    refused = eve.api(*save)
    assert refused.status_code == 403
    assert "read-only" in refused.json()["detail"]
    started = ada.api("GET", f"my/checkpoints/{saved_one}/starts").json()
    assert [(each["person"], each["workspace"]) for each in started] == [(eve.name, "hers")]
    assert eve.name in ada.get(f"checkpoints/{saved_one}/sharing").text

    again = shared_to(ada, saved_one, kind="person", who=eve.name, mode="derive")
    assert again["id"] == share["id"]
    derived = await ordered(tables, eve, "mine", workspace="hers")
    assert eve.api("GET", f"my/checkpoints/{derived}").json()["parent"] == saved_one
    path = f"my/checkpoints/{saved_one}/shares/{share['id']}"
    assert ada.api("DELETE", path).status_code == 204
    refused = eve.api(*save)
    assert (refused.status_code, "any more" in refused.json()["detail"]) == (403, True)
    assert await startable(tables, eve) == {derived}
    # what she made does not keep the owner from deleting, nor does it end with that
    assert ada.api("DELETE", f"my/checkpoints/{saved_one}").status_code == 204
    assert await startable(tables, eve) == {derived}


async def test_a_share_that_cannot_be_is_refused_in_words(
    ada: Guest, eve: Guest, saved_one: str
) -> None:
    path = f"my/checkpoints/{saved_one}/shares"
    for wish, status, words in (
        ({"kind": "person", "who": "nobody-here"}, 404, "nobody called"),
        ({"kind": "person", "who": ada.name}, 400, "checkpoint is yours already"),
        ({"kind": "group", "who": "not-mine"}, 404, "You are in no group"),
        ({"kind": "link", "hours": 8000}, 400, "A link lives at most"),
    ):
        answer = ada.api("POST", path, {"mode": "read", **wish})
        assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    page = ada.post(f"checkpoints/{saved_one}/sharing", {"with": "person", "mode": "read"})
    assert "Nobody was named" in page.text
