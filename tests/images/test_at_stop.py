"""The order to save what has stopped: it never fails; it is saved, or given up by its owner.

Rows F44, F46 and A31, on the real registry with both databases; the helper is played by the test.
"""

import asyncio
import json
import os
import signal
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select

from petrihub_core import at_stop, checkpoints
from petrihub_core.at_stop import GONE
from petrihub_core.checkpoint_records import Checkpoint, SidecarInstance
from petrihub_core.checkpoints import State
from petrihub_core.errors import Conflict
from petrihub_core.instances import id_in
from petrihub_core.intents import STOP
from petrihub_core.records import Notification, now
from petrihub_images.registry import Registry
from petrihub_spawner.contract import until

from tests.images.conftest import Member, Site

WAITS = "study waits to be saved"


@pytest.fixture
async def ada(site: Site) -> Member:
    """Her profile says: save when it stops."""
    made = await site.member("ada")
    async with site.database.session() as session:
        (await session.get_one(SidecarInstance, made.instance)).saves_at_stop = True
    return made


async def ask(site: Site, who: Member) -> Checkpoint | None:
    async with site.database.session() as session:
        return await at_stop.ask(session, who.person.id, who.workspace)


async def stop(site: Site, who: Member) -> Checkpoint:
    """As the spawner does: the order, then the end of the programs."""
    order = await ask(site, who)
    assert order is not None
    await site.start(who.person, who.workspace, STOP)
    return order


async def helper(site: Site, who: Member, order: Checkpoint) -> Member:
    """The helper beside what is kept."""
    async with site.database.session() as session:
        credential = await at_stop.hand_over(session, order.id)
    assert credential is not None
    return replace(who, credential=credential, instance=id_in(credential))


async def told(site: Site, who: Member) -> list[str]:
    async with site.database.reading() as session:
        rows = await session.scalars(
            select(Notification.title).where(Notification.person_id == who.person.id)
        )
        return list(rows)


async def later(site: Site, order: Checkpoint) -> Checkpoint:
    """After the pause, or the deadline."""
    async with site.database.session() as session:
        (await session.get_one(Checkpoint, order.id)).deadline = now() - timedelta(seconds=1)
        await session.flush()
        await checkpoints.expire(session)
    return await site.row(order.id)


FAILURES = [
    {"state": "failed", "reason": "The image server answered 401."},
    {"state": "failed", "reason": "The image server answered 507."},
    {"state": "failed", "reason": "The machine's disk is full."},
]


async def test_whatever_goes_wrong_it_waits_is_tried_again_and_told_once(
    site: Site, ada: Member
) -> None:
    order = await stop(site, ada)
    pauses = []
    for failure in FAILURES:
        one = await helper(site, ada, order)
        assert (await site.order(one))["id"] == order.id
        assert (await site.report(one, order.id, failure)).status_code == 204
        row = await site.row(order.id)
        assert (row.state, row.reason) == (State.WAITING, failure["reason"])
        pauses.append(row.deadline - now())
        assert (await site.call("GET", "/sidecar/v1/order", one)).status_code == 401
        assert (await later(site, order)).state == State.ASKED
    assert pauses == sorted(pauses)
    assert pauses[0] < timedelta(minutes=1)
    row = await later(site, order)  # nobody takes it: it waits for another try
    assert (row.state, row.reason) == (State.WAITING, "The helper that saves did not answer.")
    assert (await told(site, ada)).count(WAITS) == 1

    await later(site, order)
    one = await helper(site, ada, order)
    result = await site.save(one, await site.order(one), {"opt/tool": b"1"})
    assert (await site.report(one, order.id, result)).status_code == 204
    row = await site.row(order.id)
    assert (row.state, row.at_stop) == (State.DONE, True)
    async with site.database.session() as session:
        options = await at_stop.options_to_go_on(
            session, ada.person.id, ada.workspace, {"profile": "bio-studio"}
        )
    assert options == {"profile": "bio-studio", "checkpoint": order.id}


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
async def test_what_was_saved_at_a_stop_can_be_deleted_before_what_was_made_from_it(
    site: Site, ada: Member
) -> None:
    rows = []
    for number in range(3):
        order = await stop(site, ada)
        one = await helper(site, ada, order)
        result = await site.save(one, await site.order(one), {"opt/tool": bytes([number])})
        assert (await site.report(one, order.id, result)).status_code == 204
        rows.append(await site.row(order.id))
        intent = await site.start(ada.person, ada.workspace)
        async with site.database.session() as session:
            start = await session.get_one(SidecarInstance, ada.instance)
            start.intent, start.revoked_at, start.checkpoint_id = intent, None, order.id
            start.created_at = now()
    assert [row.parent_id for row in rows] == [None, rows[0].id, rows[1].id]
    async with site.database.session() as session:
        await checkpoints.delete(session, "ada", ada.person, rows[1].id)
    assert (await site.row(rows[2].id)).parent_id == rows[0].id


async def test_while_it_is_kept_nothing_starts_and_nothing_else_is_saved(
    site: Site, ada: Member
) -> None:
    order = await stop(site, ada)
    async with site.database.session() as session:
        with pytest.raises(Conflict, match="is being saved"):
            await at_stop.require_none(session, ada.person.id, ada.workspace)
    one = await helper(site, ada, order)
    with pytest.raises(Conflict, match="cannot be saved now"):
        await site.ask(ada)
    await site.order(one)
    await site.report(one, order.id, FAILURES[0])
    async with site.database.session() as session:
        with pytest.raises(Conflict, match="not saved yet"):
            await at_stop.require_none(session, ada.person.id, ada.workspace)
        await checkpoints.give_up(session, "ada", ada.person, order.id)  # "discard"
    async with site.database.session() as session:
        await at_stop.require_none(session, ada.person.id, ada.workspace)
    assert (await site.row(order.id)).state == State.FAILED


async def test_secrets_that_are_found_keep_it_until_its_owner_answers(
    site: Site, ada: Member
) -> None:
    order = await stop(site, ada)
    one = await helper(site, ada, order)
    await site.order(one)
    finding = {"path": "/opt/.env", "pattern": "secret-file"}
    said = {"state": "confirm", "findings": [finding]}
    assert (await site.report(one, order.id, said)).status_code == 204
    assert (await later(site, order)).state == State.CONFIRM  # as long as it takes
    assert (await told(site, ada)).count(f"{order.name} waits for your answer") == 1
    async with site.database.session() as session:
        await checkpoints.confirm(session, "ada", ada.person, order.id)
    given = await site.order(await helper(site, ada, order))
    assert given["accept_findings"] == ["/opt/.env"]


async def answers(url: str) -> bool:
    async with httpx.AsyncClient(trust_env=False) as asking:
        with suppress(httpx.TransportError):
            await asking.get(f"{url}/v2/")
            return True
    return False


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
async def test_registry_and_service_killed_at_each_step_leave_one_checkpoint(
    site: Site, ada: Member
) -> None:
    async def killed() -> None:
        record = site.deployment.state / "images" / "registry" / "process.json"
        before = record.read_text()
        os.kill(json.loads(before)["pid"], signal.SIGKILL)
        await site.service.stop()

        async def back() -> bool:
            return record.read_text() != before and await answers(site.server.registry)

        await until(back)
        await site.service.start()

    order = await stop(site, ada)
    await killed()
    if (await site.row(order.id)).state == State.WAITING:  # it looked while nobody was there
        await later(site, order)
    one = await helper(site, ada, order)
    given = await site.order(one)
    await killed()
    result = await site.save(one, given, {"opt/tool": b"1"})
    await killed()
    assert (await site.report(one, order.id, result)).status_code == 204
    await killed()
    async with site.database.reading() as session:
        [row] = await checkpoints.listed(session, ada.person.id)
    assert (row.id, row.state) == (order.id, State.DONE)
    registry = Registry(site.deployment, site.server.registry)
    assert (await registry.size(ada.repository, row.layer_digest)) == row.layer_size
    await registry.close()


async def test_two_stops_at_once_and_a_save_under_way_are_one_order(
    site: Site, ada: Member
) -> None:
    """F46: the person's own save is carried out after the stop, with what the programs wrote."""
    asked = await site.ask(ada, "mine")
    taken = await site.order(ada)
    result = await site.save(ada, taken, {"opt/tool": b"before the stop"})
    orders = await asyncio.gather(*(ask(site, ada) for _ in range(4)))
    assert {each.id for each in orders if each} == {asked.id}
    late = await site.report(ada, asked.id, result)
    assert late.status_code == 401  # its helper has ended with the workspace
    await site.start(ada.person, ada.workspace, STOP)
    first = await helper(site, ada, asked)
    await site.order(first)
    second = await helper(site, ada, asked)
    assert (await site.report(first, asked.id, result)).status_code == 401
    result = await site.save(second, await site.order(second), {"opt/tool": b"after it"})
    assert (await site.report(second, asked.id, result)).status_code == 204
    async with site.database.reading() as session:
        rows = await checkpoints.listed(session, ada.person.id)
    assert [(each.name, each.state) for each in rows] == [("mine", State.DONE)]


async def test_only_what_was_ready_and_shall_be_saved_is_kept(
    site: Site, ada: Member, eve: Member
) -> None:
    assert await ask(site, eve) is None  # her profile does not say so
    measured = await site.ask(eve, measure=True)
    assert await ask(site, eve) is None
    assert (await site.row(measured.id)).state != State.FAILED
    order = await stop(site, ada)
    async with site.database.session() as session:
        await at_stop.lost(session, order.id)
    row = await site.row(order.id)
    assert (row.state, row.reason) == (State.FAILED, GONE)
    assert await ask(site, ada) is None  # it has stopped


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
async def test_credential_and_tokens_are_dead_with_the_stop(site: Site, ada: Member) -> None:
    """A31: also the registry's own tokens, which it would believe for minutes."""
    asked = await site.ask(ada)
    await site.order(ada)
    token = await site.token(ada)
    begin = f"/v2/{ada.repository}/blobs/uploads/"
    assert (await site.call("POST", begin, token)).status_code == 202
    await stop(site, ada)
    for _ in range(2):  # at the order already, and after the stop
        assert (await site.call("POST", begin, token)).status_code == 401
        assert (await site.call("GET", "/sidecar/v1/order", ada)).status_code == 401
        params = {"service": "petrihub-images", "scope": f"repository:{ada.repository}:pull"}
        assert (await site.call("GET", "/token", ada, params=params)).status_code == 401
    one = await helper(site, ada, asked)
    assert (await site.order(one))["id"] == asked.id
    fresh = await site.token(one)
    assert (await site.call("POST", begin, fresh)).status_code == 202
    assert (await site.call("POST", begin, token)).status_code == 401
