"""What people are told about their workspaces, and restarts that nobody drives any more."""

from datetime import timedelta

import psutil
from sqlalchemy import select

from petrihub_core.intents import ENDED, RESTART
from petrihub_core.people import by_username
from petrihub_core.records import IntentRow, Notification, now
from petrihub_spawner.contract import until
from petrihub_spawner.restarts import STARTING, STOPPING

CHOICES = {"profile": "notebooks", "size": "small"}


async def feed(hub) -> list[Notification]:
    async with hub.foundation.database.session() as session:
        rows = await session.scalars(select(Notification).order_by(Notification.at))
        return list(rows)


async def key(hub) -> str:
    async with hub.foundation.database.session() as session:
        return f"{(await by_username(session, 'ada')).id}/study"


async def left_behind(hub, step: str, *, late: timedelta = timedelta(0)) -> IntentRow:
    """A restart whose portal died in this step."""
    row = IntentRow(
        kind=RESTART,
        workspace=await key(hub),
        owner=(await key(hub)).partition("/")[0],
        external={"user": "ada", "server": "study", "title": "The study"},
        plan={"options": CHOICES},
        boot="portal",
        step=step,
        deadline=now() - late,
    )
    async with hub.foundation.database.session() as session:
        session.add(row)
    return row


async def state_of(hub, row: IntentRow) -> str:
    return (await hub.foundation.intents.get(row.id)).state


async def test_a_start_that_fails_is_told_once_with_its_reason(hub):
    hub.deployment.homes.write_text("a file where a folder should be")
    await hub.begin("ada", "study")
    assert (await hub.events("ada", "study"))[-1]["failed"]
    await hub.reconcile()
    [line] = await feed(hub)
    assert (line.kind, line.title) == ("failed", "study could not be started")
    assert "could not be started" in line.text
    assert line.link == "/services/portal/"
    newest = await hub.foundation.intents.newest(await key(hub))
    assert (newest.state, newest.reason) == ("failed", line.text)


async def test_a_start_that_is_refused_is_told_too(hub):
    await hub.begin("ada", "study", {"profile": "gpu-farm"})
    assert (await hub.events("ada", "study"))[-1]["failed"]
    [line] = await feed(hub)
    assert "no profile 'gpu-farm'" in line.text


async def test_a_workspace_that_dies_by_itself_is_told_once(hub):
    await hub.ready("ada", "study")
    for item in await hub.runner().find():
        psutil.Process(int(item.handle.partition("@")[0])).kill()
    await hub.ready("ada", "study")  # the hub notices the death, then starts it again
    [line] = await feed(hub)
    assert line.title == "study ended by itself"
    assert "Files that were saved are kept" in line.text
    async with hub.foundation.database.session() as session:
        rows = await session.scalars(select(IntentRow.kind).order_by(IntentRow.started_at))
        assert list(rows) == ["start", ENDED, "start"]
    await hub.stop("ada", "study")
    assert len(await feed(hub)) == 1, "a stop that was asked for is no news"


async def test_a_restart_is_finished_when_its_portal_died_before_the_stop(hub):
    await hub.ready("ada", "study")
    row = await left_behind(hub, STOPPING)
    before = (await hub.server("ada", "study"))["started"]

    async def again() -> bool:
        await hub.reconcile()
        server = await hub.server("ada", "study")
        return bool(server and server["ready"] and server["started"] > before)

    await until(again)
    assert await state_of(hub, row) == "done"
    assert (await hub.server("ada", "study"))["user_options"] == CHOICES
    assert await feed(hub) == []


async def test_a_restart_is_finished_when_its_portal_died_before_the_start(hub):
    row = await left_behind(hub, STARTING)
    await hub.reconcile()
    assert await state_of(hub, row) == "done"
    assert (await hub.events("ada", "study"))[-1]["ready"]


async def test_a_restart_that_a_portal_still_drives_is_left_alone(hub):
    row = await left_behind(hub, STOPPING, late=timedelta(minutes=-1))
    await hub.reconcile()
    assert await state_of(hub, row) == "open"
    assert await hub.server("ada", "study") == {}


async def test_a_restart_that_never_comes_to_an_end_is_given_up_and_told(hub):
    await hub.ready("ada", "study")
    row = await left_behind(hub, STOPPING, late=timedelta(hours=1))
    await hub.reconcile()
    assert await state_of(hub, row) == "failed"
    [line] = await feed(hub)
    assert line.title == "The study could not be started again"


async def test_a_title_changes_while_the_workspace_runs(hub):
    await hub.ready("ada", "study")
    path = "petrihub/users/ada/servers/study/title"
    answer = await hub.ask("PUT", path, {"title": "  Liver   cells "})
    assert answer.json() == {"title": "Liver cells"}
    server = await hub.server("ada", "study")
    assert (server["display_name"], server["name"]) == ("Liver cells", "study")
    for wrong in ("", " ", "x" * 65, "two\nlines\u202e", "\x00"):
        answer = await hub.ask("PUT", path, {"title": wrong})
        assert answer.status_code == 400, wrong
    assert (await hub.ask("PUT", path.replace("study", "none"), {"title": "x"})).status_code == 404
