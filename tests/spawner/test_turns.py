"""Many starts at once: a fair line with places that are told, and nobody is lost from it."""

import asyncio
import json
import signal
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select

from petrihub_core import settings
from petrihub_core.intents import GIVEN_UP, START, WAIT
from petrihub_core.people import LOCAL_ISSUER, person_for
from petrihub_core.records import IntentRow, Notification, Person, now
from petrihub_core.settings.pages import LimitsSettings
from petrihub_spawner.contract import until
from petrihub_spawner.turns import Turns, Waiter, in_order

BEGAN = now()


def waiter(owner: str, workspace: str, after: int, active: int = 1) -> Waiter:
    return Waiter(
        workspace=f"{owner}/{workspace}",
        owner=owner,
        since=BEGAN + timedelta(seconds=after),
        active=lambda: active,
    )


def test_nobodys_second_workspace_goes_before_anybodys_first():
    line = [
        waiter("ada", "two", 0, active=3),  # her first runs already
        waiter("bob", "one", 1, active=3),
        waiter("bob", "two", 2, active=3),
        waiter("bob", "three", 3, active=3),
        waiter("cy", "one", 4),
        waiter("ada", "three", 5, active=3),
    ]
    assert [each.workspace for each in in_order(line)] == [
        "bob/one",
        "cy/one",
        "ada/two",
        "bob/two",
        "bob/three",
        "ada/three",
    ]


async def test_a_start_that_hangs_does_not_keep_the_others(monkeypatch):
    monkeypatch.setattr("petrihub_spawner.turns._LONGEST_TURN", 0.01)
    turns = Turns(at_once=1)
    async with turns.turn(waiter("ada", "hangs", 0), lambda *_: None):
        async with turns.turn(waiter("bob", "one", 1), lambda *_: None):
            assert not turns.room()
        assert turns.room()


async def test_who_leaves_in_the_moment_of_the_turn_hands_it_on():
    turns = Turns(at_once=1)
    reached = []

    async def start(number: int) -> None:
        async with turns.turn(waiter(f"p{number}", "one", number), lambda *_: None):
            reached.append(number)

    async with turns.turn(waiter("ada", "one", 0), lambda *_: None):
        leaving, staying = (asyncio.create_task(start(number)) for number in (1, 2))
        await asyncio.sleep(0)
    leaving.cancel()  # its turn has come, and it does not know yet
    await staying
    assert reached == [2]
    assert turns.room()


class Line:
    """A hub on which three starts at a time have their turn, and keep it until they are let go."""

    def __init__(self, hub, studio):
        self.hub = hub
        self._go = studio / "go"
        self._go.write_text("")
        (studio / "mode").write_text("held")

    async def prepare(self, *people: str) -> None:
        async with self.hub.foundation.database.session() as session:
            await settings.write(session, LimitsSettings(starts_at_once=3), by="test")
            for name in people:
                await person_for(session, LOCAL_ISSUER, name, username=name)
        for name in people:
            await self.hub.ask("POST", f"users/{name}")

    async def begin(self, *starts: str) -> None:
        """Begin them, each when the one before is on record."""
        for each in starts:
            user, name = each.split("/")
            assert (await self.hub.begin(user, name)).status_code in (201, 202)

            async def recorded(each=each) -> bool:
                return each in await self.names(WAIT, "open") + await self.names(START)

            await until(recorded)

    async def names(self, kind: str, *states: str) -> list[str]:
        """user/workspace of the intents of this kind, oldest first."""
        async with self.hub.foundation.database.session() as session:
            rows = await session.execute(
                select(Person.username, IntentRow.workspace, IntentRow.state)
                .join(Person, Person.id == IntentRow.owner)
                .where(IntentRow.kind == kind)
                .order_by(IntentRow.started_at)
            )
            return [
                f"{user}/{key.partition('/')[2]}"
                for user, key, state in rows
                if not states or state in states
            ]

    async def told(self, start: str, place: int, length: int) -> None:
        """Wait until the person reads this place."""
        user, name = start.split("/")
        headers = {"Authorization": "token " + self.hub._environment["TEST_HUB_TOKEN"]}
        url = f"{self.hub.url}/api/users/{user}/servers/{name}/progress"
        async with (
            asyncio.timeout(30),
            httpx.AsyncClient(trust_env=False, headers=headers) as client,
            client.stream("GET", url) as answer,
        ):
            async for line in answer.aiter_lines():
                if not line.startswith("data:"):
                    continue
                event = json.loads(line.removeprefix("data:"))
                if (event.get("place"), event.get("waiting")) == (place, length):
                    assert f"place {place} of {length}" in event["message"]
                    return
        raise AssertionError(f"{start} was never told place {place} of {length}")

    async def turn_of(self, start: str) -> None:
        async def begun() -> bool:
            return (await self.names(START))[-1] == start

        await until(begun)

    def let_go(self, *people: str) -> None:
        self._go.write_text(" ".join(people))

    async def all_ready(self, *starts: str) -> None:
        async def ready() -> bool:
            models = (await self.hub.ask("GET", "users")).json()
            up = {
                f"{model['name']}/{name}"
                for model in models
                for name, server in model["servers"].items()
                if server["ready"]
            }
            return set(starts) <= up

        await until(ready)


@pytest.fixture
def line(idle_hub, studio) -> Line:
    return Line(idle_hub, studio)


async def test_twelve_starts_with_room_for_three(line):
    await line.hub.start()
    await line.prepare("bob", "cy", "dan", "eve", "flo", "gus")
    first = ["ada/one", "bob/one", "cy/one"]
    await line.begin(*first)
    await line.begin("ada/two", "ada/three", "dan/one", "bob/two", "eve/one", "flo/one")
    await line.begin("cy/two", "gus/one", "dan/two")
    assert await line.names(START) == first
    await line.told("dan/one", 1, 9)
    await line.told("gus/one", 4, 9)
    await line.told("ada/two", 5, 9)
    await line.told("ada/three", 9, 9)
    # who gives up leaves at once; the others move up; who comes again stands behind
    assert (await line.hub.ask("DELETE", "users/dan/servers/one")).status_code in (202, 204)
    await line.told("gus/one", 3, 8)
    await line.told("ada/two", 5, 8)  # dan's other workspace is his first now
    assert await line.names(WAIT, "failed") == ["dan/one"]
    await line.begin("dan/one")
    await line.told("dan/one", 8, 9)
    # a turn that ends is the next one's, also when an earlier comer has a workspace by now
    go = []
    for user, following in (
        ("cy", "eve/one"),
        ("eve", "flo/one"),
        ("flo", "gus/one"),
        ("gus", "dan/two"),
        ("dan", "ada/two"),
    ):
        go.append(user)
        line.let_go(*go)
        await line.turn_of(following)
        assert len(await line.names(START, "open")) == 3
    line.let_go("everybody")
    await line.all_ready(*first, "ada/two", "ada/three", "bob/two", "cy/two", "dan/one", "dan/two")
    await line.all_ready("eve/one", "flo/one", "gus/one")
    assert await line.names(WAIT, "open") == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_the_end_of_the_hub_loses_nobody(line, how):
    hub = line.hub
    await hub.start()
    await line.prepare("bob", "cy", "dan", "eve", "flo")
    first = ["ada/one", "bob/one", "cy/one"]
    waiting = ["dan/one", "eve/one", "flo/one", "ada/two"]
    await line.begin(*first, *waiting)
    hub._process.send_signal(how)
    await hub._process.wait()
    line.let_go("everybody")
    await hub.start()
    await hub.settled()
    await hub.reconcile()  # the minute's round: nobody presses anything
    await line.all_ready(*waiting)
    assert await line.names(WAIT, "open") == []
    order = await line.names(START)
    assert order[:3] == first
    assert set(order[3:]) == set(waiting)
    # who had their turn when it ended is running, or was told why not
    await hub.reconcile()
    assert await line.names(START, "open") == []
    models = {model["name"]: model["servers"] for model in (await hub.ask("GET", "users")).json()}
    async with hub.foundation.database.session() as session:
        people = {row.username: row.id for row in await session.scalars(select(Person))}
        told = list(await session.scalars(select(Notification)))
    for each in first:
        user = each.split("/")[0]
        running = models[user].get("one", {}).get("ready")
        assert running or any(line.person_id == people[user] for line in told), each


async def test_what_nobody_waits_for_ends(line):
    """The reconciler's rules for a line that was left behind."""
    hub = line.hub
    await hub.start()
    await line.prepare("bob")
    async with hub.foundation.database.session() as session:
        ids = {row.username: row.id for row in await session.scalars(select(Person))}
        for boot, name, deadline in (
            (hub.foundation.intents.boot, "given-up", timedelta(hours=1)),
            ("before", "late", timedelta(0)),
            ("before", "forbidden", timedelta(hours=1)),
        ):
            session.add(
                IntentRow(
                    kind=WAIT,
                    workspace=f"{ids['bob']}/{name}",
                    owner=ids["bob"],
                    boot=boot,
                    deadline=now() + deadline,
                    external={"user": "bob", "server": name, "title": name.title()},
                    plan={"options": {"profile": "gone" if name == "forbidden" else "notebooks"}},
                )
            )
    await hub.reconcile()

    async def ended() -> bool:
        return await line.names(WAIT, "open") == []

    await until(ended)
    async with hub.foundation.database.session() as session:
        rows = await session.scalars(select(IntentRow).where(IntentRow.kind == WAIT))
        reasons = {row.external["server"]: row.reason for row in rows}
        told = {row.title for row in await session.scalars(select(Notification))}
    assert reasons["given-up"] == GIVEN_UP
    assert "60 minutes" in reasons["late"]
    assert told == {"Late could not be started", "forbidden could not be started"}
