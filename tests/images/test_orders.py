"""Orders to save, from the asking to the checkpoint: on a real registry, with both databases."""

import asyncio
import socket
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from petrihub_core import checkpoints
from petrihub_core.audit import verify
from petrihub_core.checkpoint_records import BaseImage, Checkpoint
from petrihub_core.checkpoints import State
from petrihub_core.errors import Conflict
from petrihub_core.intents import STOP
from petrihub_core.records import AuditRow, Notification, now
from petrihub_images import bases
from petrihub_images.bases import Bases
from petrihub_spawner.contract import until

from tests.images.conftest import BASE_DIGEST, BASE_IMAGE, Member, Site, digest


async def told(site: Site, who: Member) -> list[str]:
    async with site.database.reading() as session:
        rows = await session.scalars(
            select(Notification.title).where(Notification.person_id == who.person.id)
        )
        return list(rows)


async def test_a_save_goes_from_the_order_to_a_checkpoint_that_can_be_pulled(
    site: Site, ada: Member
) -> None:
    asked = await site.ask(ada)
    order = await site.order(ada)
    assert (order["id"], order["kind"]) == (asked.id, "save")
    assert order["repository"] == ada.repository
    # started as the base is, by our user, and no image of ours by its labels
    assert order["config"]["config"]["User"] == "1000:1000"
    assert order["config"]["config"]["Entrypoint"] == ["/usr/bin/tini", "--"]
    assert list(order["config"]["config"]["Labels"]) == ["org.opencontainers.image.title"]
    assert (await site.row(asked.id)).state == State.SAVING

    result = await site.save(ada, order, {"opt/tool": b"installed"})
    assert (await site.report(ada, order["id"], result)).status_code == 204
    assert (await site.report(ada, order["id"], result)).status_code == 204  # twice is fine

    kept = await site.row(asked.id)
    assert (kept.state, kept.manifest_digest) == (State.DONE, result["manifest_digest"])
    assert kept.layer_size == result["layer"]["size"]
    token = await site.token(ada, "pull")
    answer = await site.pull(ada.repository, kept.manifest_digest, token)
    assert digest(answer.content) == kept.manifest_digest
    layers = [each["digest"] for each in answer.json()["layers"]]
    assert layers == [digest(site.base_layer), result["layer"]["digest"]]
    for layer in layers:
        blob = await site.call("GET", f"/v2/{ada.repository}/blobs/{layer}", token)
        assert digest(blob.content) == layer
    assert await told(site, ada) == ["study is saved as first"]
    async with site.database.reading() as session:
        actions = list(await session.scalars(select(AuditRow.action).order_by(AuditRow.seq)))
        assert actions == ["checkpoint.asked", "checkpoint.saved"]
        assert await verify(session) is None


async def test_the_size_is_known_before_anything_is_pushed(site: Site, ada: Member) -> None:
    asked = await site.ask(ada, measure=True)
    order = await site.order(ada)
    assert order["kind"] == "measure"
    measured = {
        "state": "confirm",
        "summary": {"added": 3, "changed": 1, "deleted": 0, "bytes": 4096},
        "changes": [{"path": "/opt/x", "kind": "added", "size": 4096}],
        "findings": [{"path": "/opt/.env", "pattern": "a file called .env"}],
    }
    progress = {"stage": "comparing", "files": 10, "bytes": 5, "total_bytes": None}
    path = f"/sidecar/v1/orders/{asked.id}/progress"
    assert (await site.call("POST", path, ada, json=progress)).status_code == 204
    assert (await site.row(asked.id)).progress == progress
    assert (await site.report(ada, asked.id, measured)).status_code == 204

    waiting = await site.row(asked.id)
    assert (waiting.state, waiting.summary["bytes"]) == (State.CONFIRM, 4096)
    params = {"service": "petrihub-images", "scope": f"repository:{ada.repository}:push"}
    assert (await site.call("GET", "/token", ada, params=params)).status_code == 403

    async with site.database.session() as session:
        await checkpoints.confirm(session, "ada", ada.person, asked.id)
    order = await site.order(ada)
    assert (order["id"], order["kind"]) == (asked.id, "save")
    assert order["accept_findings"] == ["/opt/.env"]


async def test_of_two_saves_the_newer_one_wins_and_the_older_one_cannot_come_late(
    site: Site, ada: Member
) -> None:
    """F46."""
    older = await site.ask(ada, "older")
    order = await site.order(ada)
    result = await site.save(ada, order, {"a": b"1"})
    newer = await site.ask(ada, "newer")
    assert (await site.row(older.id)).state == State.FAILED
    late = await site.report(ada, older.id, result)
    assert late.status_code == 409, late.text
    order = await site.order(ada)
    assert order["id"] == newer.id
    result = await site.save(ada, order, {"a": b"2"})
    assert (await site.report(ada, newer.id, result)).status_code == 204
    rows = {each.name: each.state for each in await listed(site, ada)}
    assert rows == {"older": State.FAILED, "newer": State.DONE}


async def listed(site: Site, who: Member) -> list[Checkpoint]:
    async with site.database.reading() as session:
        return list(await checkpoints.listed(session, who.person.id))


async def test_of_saves_that_are_asked_at_once_exactly_one_stays(site: Site, ada: Member) -> None:
    """F46."""
    await asyncio.gather(*(site.ask(ada, f"number {n}") for n in range(8)))
    rows = await listed(site, ada)
    left = [each for each in rows if each.state in checkpoints.OPEN]
    assert len(rows) == 8
    assert [each.sequence for each in left] == [8]


async def test_an_order_whose_helper_died_is_given_again(site: Site, ada: Member) -> None:
    asked = await site.ask(ada)
    await site.order(ada)
    assert (await site.call("GET", "/sidecar/v1/order", ada)).status_code == 204
    async with site.database.session() as session:  # ninety seconds later
        row = await session.get_one(Checkpoint, asked.id)
        row.given_until = now() - timedelta(seconds=1)
    again = await site.order(ada)
    assert again["id"] == asked.id
    result = await site.save(ada, again, {"a": b"1"})
    assert (await site.report(ada, asked.id, result)).status_code == 204


async def test_a_save_goes_on_after_the_service_was_restarted_at_any_step(
    site: Site, ada: Member
) -> None:
    async def restart() -> None:
        await site.service.stop()
        await site.service.start()

    await site.service.stop()
    asked = await site.ask(ada)  # written while nobody is there to prepare it
    await site.service.start()
    order = await site.order(ada)
    await restart()
    result = await site.save(ada, order, {"a": b"1"})  # asks for its token anew
    await restart()
    assert (await site.report(ada, asked.id, result)).status_code == 204
    async with site.database.session() as session:
        await checkpoints.delete(session, "ada", ada.person, asked.id)
    await restart()
    token = await site.token(ada, "pull")
    while (  # noqa: ASYNC110 - ends with the test's own limit if it stays
        await site.pull(ada.repository, result["manifest_digest"], token)
    ).status_code != 404:
        await asyncio.sleep(0.05)


async def test_while_the_base_cannot_be_stored_the_save_waits_says_why_and_goes_on(
    site: Site, ada: Member
) -> None:
    async with site.database.session() as session:
        kept = await session.get_one(BaseImage, BASE_DIGEST)
        manifest, kept.manifest_digest = kept.manifest_digest, ""
    asked = await site.ask(ada)
    while "problem" not in (row := await site.row(asked.id)).progress:  # noqa: ASYNC110
        await asyncio.sleep(0.05)  # ends with the test's own limit if it stays
    assert (row.state, row.progress["stage"]) == (State.ASKED, "waiting")
    assert (await site.call("GET", "/sidecar/v1/order", ada)).status_code == 204
    async with site.database.session() as session:  # what was in the way is gone
        (await session.get_one(BaseImage, BASE_DIGEST)).manifest_digest = manifest
    assert (await site.order(ada))["id"] == asked.id


async def test_an_order_behind_the_push_of_its_base_is_not_given_up(
    site: Site, ada: Member, eve: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base comes once, for whoever asked first; that may take longer than an order may wait."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    async with site.database.session() as session:
        kept = await session.get_one(BaseImage, BASE_DIGEST)
        manifest, kept.manifest_digest = kept.manifest_digest, ""

    async def push(self: Bases, *_: object) -> None:
        begun.set()
        await go_on.wait()
        async with site.database.session() as session:
            (await session.get_one(BaseImage, BASE_DIGEST)).manifest_digest = manifest

    monkeypatch.setattr(Bases, "_push", push)
    monkeypatch.setattr(bases, "_WAITING_SECONDS", 0.05)
    await site.ask(ada)
    await begun.wait()
    second = await site.ask(eve)
    async with site.database.session() as session:
        row = await session.get_one(Checkpoint, second.id)
        row.deadline = now() + timedelta(seconds=5)
    while (await site.row(second.id)).deadline < now() + timedelta(minutes=5):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    go_on.set()
    assert (await site.order(eve))["id"] == second.id


async def test_a_part_of_a_layer_that_is_cut_costs_only_this_part(site: Site, ada: Member) -> None:
    """The registry would give the whole upload up: the front passes on what is whole."""
    await site.ask(ada)
    await site.order(ada)
    token = await site.token(ada)
    begun = await site.call("POST", f"/v2/{ada.repository}/blobs/uploads/", token)
    one, two = b"1" * 2**20, b"2" * 2**20
    sent = await site.call("PATCH", begun.headers["Location"], token, content=one)
    assert sent.status_code == 202
    where = sent.headers["Location"]
    host, _, port = site.server.pods.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port))) as cut:
        head = f"PATCH {where} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
        head += f"Content-Range: {len(one)}-{len(one) + len(two) - 1}\r\n"
        cut.sendall(f"{head}Content-Length: {len(two)}\r\n\r\n".encode() + two[:1000])
    seen = await site.call("GET", where, token)
    assert seen.headers["Range"] == f"0-{len(one) - 1}"
    sent = await site.call("PATCH", seen.headers["Location"], token, content=two)
    assert sent.status_code == 202, sent.text
    end = f"{sent.headers['Location']}&digest={digest(one + two)}"
    assert (await site.call("PUT", end, token)).status_code == 201


async def prepared(site: Site, order: Checkpoint) -> None:
    """Wait until the service has done its part of the order: it writes its row no more."""

    async def done() -> bool:
        return (await site.row(order.id)).prepared

    await until(done)


async def test_an_order_that_nobody_takes_fails_with_a_reason(site: Site, ada: Member) -> None:
    asked = await site.ask(ada)
    await prepared(site, asked)
    async with site.database.session() as session:
        row = await session.get_one(Checkpoint, asked.id)
        row.deadline = now() - timedelta(seconds=1)
        await session.flush()
        await checkpoints.expire(session)
    failed = await site.row(asked.id)
    assert (failed.state, failed.ended_at is not None) == (State.FAILED, True)
    assert await told(site, ada) == ["study was not saved as first"]


async def test_what_the_workspace_had_asked_for_ends_with_it(site: Site, ada: Member) -> None:
    asked = await site.ask(ada)
    await prepared(site, asked)
    await site.start(ada.person, ada.workspace, STOP)
    assert (await site.call("GET", "/sidecar/v1/order", ada)).status_code == 401
    async with site.database.session() as session:
        await checkpoints.expire(session)
    assert (await site.row(asked.id)).reason == "The workspace ended before it was saved."
    with pytest.raises(Conflict):
        await site.ask(ada)


def spoiled(order: dict[str, Any], how: str) -> dict[str, Any]:
    """The order as a helper would change it that has been taken over."""
    config = order["config"]["config"]
    if how == "user":
        config["User"] = "0:0"
    elif how == "entrypoint":
        config["Entrypoint"] = ["/opt/evil"]
    elif how == "environment":
        config["Env"] = [*config["Env"], "LD_PRELOAD=/opt/evil.so"]
    elif how == "volume":
        config["Volumes"] = {"/": {}}
    elif how == "layers":
        order["manifest"]["layers"] = []
        order["config"]["rootfs"]["diff_ids"] = []
    elif how == "history":
        order["config"]["history"] = []
    return order


@pytest.mark.parametrize(
    "how", ["user", "entrypoint", "environment", "volume", "layers", "history"]
)
async def test_a_checkpoint_that_says_how_it_is_started_is_none(
    site: Site, ada: Member, how: str
) -> None:
    asked = await site.ask(ada)
    result = await site.save(ada, spoiled(await site.order(ada), how), {"a": b"1"})
    answer = await site.report(ada, asked.id, result)
    assert answer.status_code == 400, answer.text
    assert (await site.row(asked.id)).state == State.FAILED


async def test_done_without_what_was_named_is_not_believed(site: Site, ada: Member) -> None:
    asked = await site.ask(ada)
    order = await site.order(ada)
    result = await site.save(ada, order, {"a": b"1"})
    other = {**result, "layer": {**result["layer"], "digest": digest(b"another")}}
    assert (await site.report(ada, asked.id, other)).status_code == 400
    assert (await site.row(asked.id)).manifest_digest == ""


async def test_lineage_deleting_and_what_stands_on_what(site: Site, ada: Member) -> None:
    rows = []
    for name in ("first", "second"):
        asked = await site.ask(ada, name)
        result = await site.save(ada, await site.order(ada), {"a": name.encode()})
        assert (await site.report(ada, asked.id, result)).status_code == 204
        rows.append(await site.row(asked.id))
    first, second = rows
    assert (first.parent_id, second.parent_id) == (None, first.id)
    assert second.base_image == BASE_IMAGE
    async with site.database.session() as session:
        with pytest.raises(Conflict, match="second was made from first"):
            await checkpoints.delete(session, "ada", ada.person, first.id)
    token = await site.token(ada, "pull")
    kept = (ada.repository, second.manifest_digest, token)
    assert (await site.pull(*kept)).status_code == 200
    async with site.database.session() as session:
        await checkpoints.delete(session, "ada", ada.person, second.id)
    while (await site.pull(*kept)).status_code != 404:  # noqa: ASYNC110
        await asyncio.sleep(0.05)  # ends with the test's own limit if it stays
    async with site.database.session() as session:
        await checkpoints.delete(session, "ada", ada.person, first.id)
