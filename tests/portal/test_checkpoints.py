"""The pages and the API of checkpoints: what one sees, may change, and what is another's.

What the helper in the workspace says is written into the tables here; that a real one says it is
shown in tests/images and tests/e2e.
"""

from datetime import timedelta

import pytest
from sqlalchemy import select

from petrihub_core import checkpoints
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import State
from petrihub_core.database import Database
from petrihub_core.instances import Enrolment, enrol
from petrihub_core.intents import DONE, START
from petrihub_core.records import AuditRow, IntentRow, now

from tests.portal.guests import Guest

MEASURED = {"added": 3, "changed": 1, "deleted": 0, "bytes": 5_000_000}


def carried_out(kind: str, guest: Guest, workspace: str = "study") -> IntentRow:
    """What the spawner leaves of a start or stop.

    Never open: at an intent of another boot the site's reconciler ends, as after a takeover.
    """
    begun = now()
    return IntentRow(
        kind=kind,
        workspace=f"{guest.person_id}/{workspace}",
        owner=guest.person_id,
        boot="boot",
        state=DONE,
        started_at=begun,
        deadline=begun + timedelta(seconds=60),
        ended_at=begun,
    )


async def running(tables: Database, guest: Guest, workspace: str = "study") -> None:
    """A start with helpers."""
    row = carried_out(START, guest, workspace)
    start = Enrolment(
        owner=guest.person_id,
        workspace=workspace,
        intent=row.id,
        profile="notebooks",
        size="small",
        base_image="petrihub/base",
        base_digest="sha256:" + "1" * 64,
    )
    async with tables.session() as session:
        session.add(row)
        await enrol(session, start)


async def saved(tables: Database, checkpoint_id: str, **values: object) -> None:
    """What the helper and the image service would have written."""
    async with tables.session() as session:
        row = await session.get_one(Checkpoint, checkpoint_id)
        for name, value in values.items():
            setattr(row, name, value)


async def ordered(tables: Database, guest: Guest, name: str, *, workspace: str = "study") -> str:
    answer = guest.api("POST", f"my/workspaces/{workspace}/checkpoints", {"name": name})
    assert answer.status_code == 202, answer.text
    checkpoint_id: str = answer.json()["id"]
    done = {"state": State.DONE, "manifest_digest": "sha256:" + "2" * 64, "layer_size": 4096}
    await saved(tables, checkpoint_id, **done, summary=MEASURED)
    return checkpoint_id


@pytest.fixture
async def ada(guest: Guest, tables: Database) -> Guest:
    await running(tables, guest)
    return guest


async def test_from_the_order_over_the_size_to_the_word(ada: Guest, tables: Database) -> None:
    asked = {"name": " with   DESeq2 ", "message": "for the paper", "measure_first": True}
    made = ada.api("POST", "my/workspaces/study/checkpoints", asked)
    assert made.status_code == 202, made.text
    order = made.json()
    assert (order["name"], order["state"]) == ("with DESeq2", "asked")
    assert "Waiting for the workspace" in ada.get("checkpoints/list").text
    assert "every 2s" in ada.get("checkpoints/list").text

    finding = {"path": "/opt/<b>.env", "pattern": "a file called .env"}
    await saved(tables, order["id"], state=State.CONFIRM, summary=MEASURED, findings=[finding])
    page = ada.get("checkpoints/list?workspace=study").text
    assert "5.0 MB would be stored" in page
    assert "&lt;b&gt;.env" in page
    assert "<b>" not in page
    assert "every 2s" not in page  # it waits for a word, not for time
    answer = ada.post(f"checkpoints/{order['id']}/confirm")
    assert answer.status_code == 303, answer.text
    again = ada.api("POST", f"my/checkpoints/{order['id']}/confirm")
    assert (again.status_code, again.json()["state"]) == (202, "asked")
    async with tables.reading() as session:
        row = await session.get_one(Checkpoint, order["id"])
        assert (row.kind, row.accepted) == (checkpoints.SAVE, ["/opt/<b>.env"])
        actions = await session.scalars(
            select(AuditRow.action).where(AuditRow.target.endswith(order["id"]))
        )
        assert sorted(actions) == ["checkpoint.asked", "checkpoint.confirmed"]


async def test_that_nothing_was_installed_is_said(ada: Guest, tables: Database) -> None:
    order = ada.api("POST", "my/workspaces/study/checkpoints", {"name": "too early"}).json()["id"]
    nothing = {"added": 0, "changed": 0, "deleted": 0, "bytes": 0}
    await saved(tables, order, state=State.CONFIRM, summary=nothing)
    page = ada.get("checkpoints/list").text
    assert "there is nothing to save" in page
    assert "would be stored" not in page
    assert f'id="cancel-{order}"' in page


async def test_what_is_saved_is_listed_with_its_lineage(ada: Guest, tables: Database) -> None:
    first = await ordered(tables, ada, "first")
    second = await ordered(tables, ada, "second")
    rows = ada.api("GET", "my/checkpoints").json()
    assert [(each["id"], each["parent"]) for each in rows] == [(second, first), (first, None)]
    page = ada.get("checkpoints").text
    assert "made from first" in page
    assert "4.1 kB on petrihub/base" in page
    detail = ada.api("GET", f"my/checkpoints/{second}").json()
    assert (detail["added"], detail["bytes"]) == (3, 5_000_000)
    assert ada.get(f"checkpoints/{second}/changes").status_code == 200

    refused = ada.api("DELETE", f"my/checkpoints/{first}")
    assert refused.status_code == 409
    assert "second was made from first" in refused.json()["detail"]
    assert ada.api("DELETE", f"my/checkpoints/{second}").status_code == 204
    assert ada.post(f"checkpoints/{first}/delete").status_code == 303
    assert ada.api("GET", "my/checkpoints").json() == []


async def test_nobody_else_sees_or_changes_it(ada: Guest, tables: Database, boss: Guest) -> None:
    mine = await ordered(tables, ada, "mine")
    for method, path in (
        ("GET", f"my/checkpoints/{mine}"),
        ("POST", f"my/checkpoints/{mine}/confirm"),
        ("POST", f"my/checkpoints/{mine}/cancel"),
        ("DELETE", f"my/checkpoints/{mine}"),
    ):
        assert boss.api(method, path).status_code == 404, path
    start = boss.api("POST", f"my/checkpoints/{mine}/start", {"workspace": "x"})
    assert start.status_code == 404
    assert boss.api("POST", "my/workspaces/study/checkpoints", {"name": "x"}).status_code == 409
    assert boss.get(f"checkpoints/{mine}/changes").status_code == 404
    assert mine not in boss.get("checkpoints/list?workspace=study").text


async def test_what_cannot_be_saved_is_said_in_words(ada: Guest, guest: Guest) -> None:
    answer = ada.api("POST", "my/workspaces/another/checkpoints", {"name": "x"})
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "another cannot be saved now.",
    )
    assert ada.api("POST", "my/workspaces/study/checkpoints", {"name": " "}).status_code == 400
    too_long = ada.api("POST", "my/workspaces/study/checkpoints", {"name": "x" * 65})
    assert too_long.status_code == 422
    # this platform's workspaces are programs of one machine
    assert "Checkpoints need the Docker backend" in guest.get("checkpoints").text


async def test_an_order_is_given_up_and_removed_from_the_list(ada: Guest) -> None:
    order = ada.api("POST", "my/workspaces/study/checkpoints", {"name": "x"}).json()["id"]
    assert ada.api("DELETE", f"my/checkpoints/{order}").status_code == 409
    given_up = ada.api("POST", f"my/checkpoints/{order}/cancel").json()
    assert given_up["state"] == "failed"
    assert "Not saved" in ada.get("checkpoints/list").text
    assert ada.api("DELETE", f"my/checkpoints/{order}").status_code == 204


async def test_continuing_where_it_cannot_be_is_refused_before_anything_starts(
    ada: Guest, tables: Database
) -> None:
    mine = await ordered(tables, ada, "mine")
    answer = ada.api("POST", f"my/checkpoints/{mine}/start", {"workspace": "elsewhere"})
    assert answer.status_code == 501, answer.text
    assert "Checkpoints need the Docker backend" in answer.json()["detail"]
    assert "elsewhere" not in [
        each["name"] for each in ada.api("GET", "my/workspaces").json()["workspaces"]
    ]
