"""Shared checkpoints at the token service and at a start, with the real registry.

Row A52 over shares: what is shared is one image and nothing else of its owner, and what has ended
is refused at the next use.
"""

import asyncio
import json
from dataclasses import replace

import pytest

from petrihub_core import checkpoints
from petrihub_core.checkpoint_access import usable
from petrihub_core.checkpoint_records import Checkpoint, SidecarInstance
from petrihub_core.checkpoint_share_records import CheckpointShare
from petrihub_core.checkpoints import Wish
from petrihub_core.errors import NotAllowed
from petrihub_core.image_server import PULL, Access
from petrihub_core.image_store import MANIFEST
from petrihub_core.records import now
from petrihub_spawner.choices import Choices
from petrihub_spawner.saving import with_credential

from tests.images.conftest import Member, Site
from tests.spawner.test_pod import POD

_ONE = pytest.mark.parametrize("site", ["sqlite"], indirect=True)  # the tables matter elsewhere
pytestmark = _ONE


async def saved(site: Site, who: Member, content: bytes = b"ada's own") -> Checkpoint:
    asked = await site.ask(who)
    order = await site.order(who)
    result = await site.save(who, order, {"opt/tool": content})
    assert (await site.report(who, asked.id, result)).status_code == 204
    return await site.row(asked.id)


async def share(site: Site, row: Checkpoint, whom: Member, mode: str = "derive") -> CheckpointShare:
    made = CheckpointShare(
        checkpoint_id=row.id,
        owner_id=row.owner,
        kind="person",
        person_id=whom.person.id,
        mode=mode,
    )
    async with site.database.session() as session:
        session.add(made)
    return made


async def end(site: Site, made: CheckpointShare) -> None:
    async with site.database.session() as session:
        (await session.get_one(CheckpointShare, made.id)).ended_at = now()


async def started_from(site: Site, who: Member, row: Checkpoint) -> None:
    async with site.database.session() as session:
        (await session.get_one(SidecarInstance, who.instance)).checkpoint_id = row.id


async def test_a52_a_share_gives_no_right_in_the_owners_repository(
    site: Site, ada: Member, eve: Member
) -> None:
    """A52: neither pull, nor mount, nor probe, whether shared or started from it."""
    row = await saved(site, ada)
    await share(site, row, eve)
    await started_from(site, eve, row)
    for actions in ("pull", "push", "pull,push", "delete", "*"):
        scope = f"repository:{ada.repository}:{actions}"
        params = {"service": "petrihub-images", "scope": scope}
        assert (await site.call("GET", "/token", eve, params=params)).status_code == 403, actions
    await site.ask(eve, "mine")
    await site.order(eve)
    token = await site.token(eve)
    for path in (
        f"/v2/{ada.repository}/manifests/{row.manifest_digest}",
        f"/v2/{ada.repository}/blobs/{row.layer_digest}",
    ):
        assert (await site.call("GET", path, token)).status_code == 401, path
        assert (await site.call("HEAD", path, token)).status_code == 401, path
    # hers does not have it either, and cannot take it from there
    own = f"/v2/{eve.repository}/blobs"
    assert (await site.call("HEAD", f"{own}/{row.layer_digest}", token)).status_code == 404
    mount = {"mount": row.layer_digest, "from": ada.repository}
    answer = await site.call("POST", f"{own}/uploads/", token, params=mount)
    assert answer.status_code in (202, 401), answer.text  # an empty upload, or nothing
    assert (await site.call("HEAD", f"{own}/{row.layer_digest}", token)).status_code == 404


async def test_a_derived_checkpoint_is_whole_without_its_parent(
    site: Site, ada: Member, eve: Member
) -> None:
    """Its one layer lies in her repository: it is pulled when the parent was deleted."""
    first = await saved(site, ada)
    made = await share(site, first, eve)
    await started_from(site, eve, first)
    derived = await saved(site, eve, b"ada's own and eve's")
    assert (derived.owner, derived.parent_id) == (eve.person.id, first.id)
    await end(site, made)
    async with site.database.session() as session:
        await checkpoints.delete(session, "ada", ada.person, first.id)
    while not await gone(site, first.id):  # noqa: ASYNC110 - ends with the test's own limit if it stays
        await asyncio.sleep(0.05)
    token = site.hub_token(Access(eve.repository, PULL))
    here = f"{site.server.loopback}/v2/{eve.repository}"  # as the hub's side reaches it
    kind = {"Accept": MANIFEST}
    path = f"{here}/manifests/{derived.manifest_digest}"
    manifest = await site.call("GET", path, token, headers=kind)
    assert manifest.status_code == 200
    layers = json.loads(manifest.content)["layers"]
    assert len(layers) == 2  # the base's, and one
    for layer in layers:
        path = f"{here}/blobs/{layer['digest']}"
        assert (await site.call("HEAD", path, token)).status_code == 200
    async with site.database.reading() as session:
        assert (await session.get_one(Checkpoint, derived.id)).parent_id is None


async def gone(site: Site, checkpoint_id: str) -> bool:
    async with site.database.reading() as session:
        return await session.get(Checkpoint, checkpoint_id) is None


async def test_a52_a_revoked_share_refuses_the_next_start_and_the_next_push(
    site: Site, ada: Member, eve: Member
) -> None:
    """A52: the start page, a start that waited, a save, and a token in the middle of one."""
    row = await saved(site, ada)
    made = await share(site, row, eve)
    await started_from(site, eve, row)
    asked = await site.ask(eve, "mine")
    await site.order(eve)
    assert (await site.token(eve)).startswith("Bearer ")
    assert await offered(site, eve) == [row.id]
    await started(site, eve, row)

    await end(site, made)

    assert await offered(site, eve) == []
    with pytest.raises(NotAllowed, match="not shared with you any more"):
        await started(site, eve, row)
    params = {"service": "petrihub-images", "scope": f"repository:{eve.repository}:push"}
    refused = await site.call("GET", "/token", eve, params=params)
    assert (refused.status_code, "any more" in refused.text) == (403, True)
    assert (await site.row(asked.id)).state == "saving"
    with pytest.raises(NotAllowed, match="cannot be saved"):
        await site.ask(eve, "again")
    again = await share(site, row, eve, "read")
    await started(site, eve, row)
    async with site.database.session() as session:
        with pytest.raises(NotAllowed, match="read-only"):
            await checkpoints.ask(session, "eve", eve.person, eve.workspace, Wish(name="x"))
    await end(site, again)


async def offered(site: Site, who: Member) -> list[str]:
    async with site.database.reading() as session:
        found, _ = await usable(session, who.person.id)
    return [each.id for each in found if each.owner != who.person.id]


async def started(site: Site, who: Member, row: Checkpoint) -> None:
    """The last step of the spawner before anything is fetched."""
    choices = Choices(site.deployment.profiles[0], site.deployment.sizes[0], row)
    pod = replace(POD, ref=replace(POD.ref, person=who.person.id))
    await with_credential(site.database, pod, choices, {})
