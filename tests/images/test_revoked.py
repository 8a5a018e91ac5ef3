"""What becomes of work on top of a shared checkpoint when the share ends: row A52, real registry.

Nothing goes to the image server from then on; what has stopped is kept, and its owner is told why.
"""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from petrihub_core import at_stop, checkpoints
from petrihub_core.checkpoint_records import Checkpoint, SidecarInstance
from petrihub_core.checkpoint_share_records import CheckpointShare
from petrihub_core.checkpoints import State
from petrihub_core.records import Notification, now
from petrihub_spawner.backends.docker_runner import DockerRunner
from petrihub_spawner.foundation import lay
from petrihub_spawner.kept import Kept

from tests.images.conftest import Member, Site, digest
from tests.images.test_at_stop import helper, later, stop, told
from tests.images.test_shares import end, gone, saved, share, started_from

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)

WAITS = "study waits to be saved"


async def expire(site: Site, made: CheckpointShare) -> None:
    async with site.database.session() as session:
        row = await session.get_one(CheckpointShare, made.id)
        row.expires_at = now() - timedelta(seconds=1)


async def reconciled(site: Site) -> None:
    """A round of the reconciler, in which no container may be touched."""

    def wake(*_: object) -> None:
        raise AssertionError("nothing is started for what may not be saved")

    runner = DockerRunner(site.deployment)
    runner.wake = wake  # type: ignore[method-assign, assignment]
    await Kept(lay(site.deployment, "boot"), runner).go_on(())


@pytest.fixture
async def row(site: Site, ada: Member) -> Checkpoint:
    return await saved(site, ada)


@pytest.fixture
async def made(site: Site, eve: Member, row: Checkpoint) -> CheckpointShare:
    """Eve runs it, may build on it, and her profile says: save when it stops."""
    made = await share(site, row, eve)
    await started_from(site, eve, row)
    async with site.database.session() as session:
        (await session.get_one(SidecarInstance, eve.instance)).saves_at_stop = True
    return made


async def test_a52_a_push_in_its_middle_is_refused_and_the_owner_reads_why(
    site: Site, eve: Member, made: CheckpointShare, row: Checkpoint
) -> None:
    """The front refuses each further request that would write, with a token that is still good."""
    asked = await site.ask(eve, "mine")
    order = await site.order(eve)
    result = await site.save(eve, order, {"opt/tool": b"ada's own and eve's"})
    token = await site.token(eve)
    begin = f"/v2/{eve.repository}/blobs/uploads/"
    begun = await site.call("POST", begin, token)
    assert begun.status_code == 202

    await end(site, made)

    upload = begun.headers["Location"]
    manifest = f"/v2/{eve.repository}/manifests/{digest(b'{}')}"
    for method, path in (
        ("POST", begin),
        ("PATCH", upload),
        ("PUT", f"{upload}&digest={digest(b'x')}"),
        ("PUT", manifest),
    ):
        refused = await site.call(method, path, token, content=b"x")
        assert refused.status_code == 403, (method, path, refused.text)
    # and what was pushed before the end is not called saved after it
    assert (await site.report(eve, asked.id, result)).status_code == 204
    found = await site.row(asked.id)
    assert (found.state, found.manifest_digest) == (State.FAILED, "")
    assert "not shared with you any more" in found.reason
    assert await told(site, eve) == ["study was not saved as mine"]
    # a helper that was refused in its middle knows no reason that a person understands
    again = await share(site, row, eve)
    asked = await site.ask(eve, "mine")
    await site.order(eve)
    await end(site, again)
    failure = {"state": "failed", "reason": "The image server refused: 403."}
    assert (await site.report(eve, asked.id, failure)).status_code == 204
    assert "not shared with you any more" in (await site.row(asked.id)).reason


async def test_a_share_that_ends_while_it_waits_to_be_saved_keeps_the_work_and_says_why(
    site: Site, eve: Member, made: CheckpointShare, row: Checkpoint
) -> None:
    """The registry was away at the stop; the share expires meanwhile, and is given again later."""
    order = await stop(site, eve)
    one = await helper(site, eve, order)
    await site.order(one)
    away = {"state": "failed", "reason": "The image server does not answer."}
    assert (await site.report(one, order.id, away)).status_code == 204
    assert await told(site, eve) == [WAITS]

    await expire(site, made)

    for _ in range(3):
        await later(site, order)
        await reconciled(site)
    found = await site.row(order.id)
    assert (found.state, found.at_stop) == (State.WAITING, True)
    assert "not shared with you any more" in found.reason
    async with site.database.reading() as session:
        lines = list(await session.scalars(select(Notification.text)))
    assert sum("or you discard it" in line for line in lines) == 1  # told once more, and why

    await share(site, row, eve)
    assert (await later(site, order)).state == State.ASKED
    one = await helper(site, eve, order)
    result = await site.save(one, await site.order(one), {"opt/tool": b"eve's"})
    assert (await site.report(one, order.id, result)).status_code == 204
    assert (await site.row(order.id)).state == State.DONE


async def test_a_share_that_changed_before_the_stop_keeps_the_work_too_until_it_is_discarded(
    site: Site, eve: Member, made: CheckpointShare
) -> None:
    async with site.database.session() as session:
        (await session.get_one(CheckpointShare, made.id)).mode = "read"
    order = await stop(site, eve)
    await reconciled(site)
    found = await site.row(order.id)
    assert (found.state, "shares first read-only" in found.reason) == (State.WAITING, True)
    assert await told(site, eve) == [WAITS]
    async with site.database.session() as session:
        await checkpoints.give_up(session, "eve", eve.person, order.id)
    async with site.database.session() as session:
        await at_stop.require_none(session, eve.person.id, eve.workspace)


async def test_ones_own_source_may_be_deleted_while_what_was_made_from_it_waits(
    site: Site, ada: Member
) -> None:
    """One that was saved at a stop; what stands on it is saved without it, as its owner's own."""
    async with site.database.session() as session:
        (await session.get_one(SidecarInstance, ada.instance)).saves_at_stop = True
    first = await stop(site, ada)
    one = await helper(site, ada, first)
    result = await site.save(one, await site.order(one), {"opt/tool": b"1"})
    assert (await site.report(one, first.id, result)).status_code == 204
    again = await site.member("ada")  # the next start, from what was saved
    await started_from(site, again, first)
    order = await site.ask(again, "second")
    await stop(site, again)  # while it is saved
    async with site.database.session() as session:
        await checkpoints.delete(session, "ada", ada.person, first.id)
    while not await gone(site, first.id):  # noqa: ASYNC110 - the test's own limit ends it
        await asyncio.sleep(0.05)
    one = await helper(site, again, order)
    result = await site.save(one, await site.order(one), {"opt/tool": b"2"})
    assert (await site.report(one, order.id, result)).status_code == 204
    assert (await site.row(order.id)).state == State.DONE
