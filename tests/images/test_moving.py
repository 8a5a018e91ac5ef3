"""Moving a checkpoint onto its image as it was built anew, with the real registry and service."""

import asyncio
import io
import os
import tarfile
from pathlib import Path

import pytest
from sqlalchemy import select

from petrihub_core import checkpoint_moves
from petrihub_core.checkpoint_move_records import CheckpointMove
from petrihub_core.checkpoint_moves import OPEN, WORK, Step
from petrihub_core.checkpoint_records import BaseImage, Checkpoint, SidecarInstance
from petrihub_core.errors import Conflict, Refused
from petrihub_core.image_server import PULL, Access
from petrihub_core.image_store import MANIFEST as IMAGE
from petrihub_core.images import register_image
from petrihub_core.records import AuditRow
from petrihub_images.layers import Layer, plain_path
from petrihub_images.recorded import Recorded, conflicts
from petrihub_sidecars.checkpointer.record import record

from tests.images.conftest import BASE_IMAGE, Member, Site, keep_base, layer_of
from tests.sidecars.saving import MANIFEST

OLD_BASE, NEW_BASE = "sha256:" + "ef" * 32, "sha256:" + "cd" * 32
_ONE = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


def image(folder: Path, files: dict[str, str]) -> dict[str, bytes]:
    """An image's files, with the list of them as its build would have recorded it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    record(folder, frozenset())
    return {
        **{name: text.encode() for name, text in files.items()},
        MANIFEST: (folder / MANIFEST).read_bytes(),
    }


OLD = {"etc/both": "1", "etc/mine": "1", "etc/theirs": "1", "opt/gone": "1", "opt/dir/x": "1"}
NEW = {"etc/both": "2", "etc/mine": "1", "etc/theirs": "2", "opt/added": "1", "opt/dir/x": "2"}
LAYER = {
    "etc/both": b"mine",
    "etc/mine": b"mine",
    "opt/added": b"mine",
    "opt/.wh.gone": b"",
    "opt/.wh.dir": b"",
    "opt/only-mine": b"mine",
}


@pytest.fixture
async def rebuilt(site: Site, ada: Member, tmp_path: Path) -> Checkpoint:
    """A checkpoint of ada's whose image was built anew since."""
    await keep_base(site, OLD_BASE, image(tmp_path / "old", OLD))
    async with site.database.session() as session:
        (await session.get_one(SidecarInstance, ada.instance)).base_digest = OLD_BASE
    asked = await site.ask(ada)
    order = await site.order(ada)
    result = await site.save(ada, order, LAYER)
    assert (await site.report(ada, asked.id, result)).status_code == 204
    await keep_base(site, NEW_BASE, image(tmp_path / "new", NEW))
    async with site.database.session() as session:
        await register_image(
            session, name=BASE_IMAGE, digest=NEW_BASE, size_bytes=1, apps=[], labels={}
        )
    return await site.row(asked.id)


async def settled(site: Site, move_id: str) -> CheckpointMove:
    """The move when the service has nothing more to do with it."""
    while True:
        async with site.database.reading() as session:
            move = await session.get_one(CheckpointMove, move_id)
        if move.state not in WORK:
            return move
        await asyncio.sleep(0.05)  # ends with the test's own limit if it stays


async def asked(site: Site, ada: Member, row: Checkpoint) -> CheckpointMove:
    async with site.database.session() as session:
        move = await checkpoint_moves.ask(session, "ada", ada.person, row.id)
        assert await checkpoint_moves.ask(session, "ada", ada.person, row.id) is move
    return await settled(site, move.id)


async def confirmed(site: Site, ada: Member, row: Checkpoint) -> CheckpointMove:
    async with site.database.session() as session:
        move = await checkpoint_moves.confirm(session, "ada", ada.person, row.id)
    return move


async def test_conflicts_are_listed_and_the_layer_is_put_on_the_new_base(
    site: Site, ada: Member, rebuilt: Checkpoint
) -> None:
    move = await asked(site, ada, rebuilt)
    assert move.state == Step.CONFIRM, move.reason
    assert sorted((e["path"], e["kind"], e["base"]) for e in move.conflicts) == [
        ("/etc/both", "changed", "changed"),
        ("/opt/added", "changed", "added"),
        ("/opt/dir", "deleted", "changed"),
        ("/opt/gone", "deleted", "deleted"),
    ]
    await confirmed(site, ada, rebuilt)
    done = await settled(site, move.id)
    assert done.state == Step.DONE, done.reason
    made = await site.row(done.result_id)
    assert (made.parent_id, made.base_digest, made.state) == (rebuilt.id, NEW_BASE, "done")
    assert made.layer_digest == rebuilt.layer_digest
    token = site.hub_token(Access(ada.repository, PULL))
    here = f"{site.server.loopback}/v2/{ada.repository}"  # as the hub's side reaches it
    path = f"{here}/manifests/{made.manifest_digest}"
    manifest = (await site.call("GET", path, token, headers={"Accept": IMAGE})).json()
    async with site.database.reading() as session:
        base = await session.get_one(BaseImage, NEW_BASE)
        actions = await session.scalars(
            select(AuditRow.action).where(AuditRow.action.like("checkpoint.move.%"))
        )
        assert sorted(actions) == ["checkpoint.move.asked", "checkpoint.move.confirmed"]
    base_token = site.hub_token(Access(base.repository, PULL))
    url = f"{site.server.loopback}/v2/{base.repository}/manifests/{base.manifest_digest}"
    below = (await site.call("GET", url, base_token)).json()
    digests = [each["digest"] for each in manifest["layers"]]
    assert digests == [*(e["digest"] for e in below["layers"]), rebuilt.layer_digest]
    for each in digests:
        path = f"{here}/blobs/{each}"
        assert (await site.call("HEAD", path, token)).status_code == 200
    config = await site.call("GET", f"{here}/blobs/{manifest['config']['digest']}", token)
    assert config.json()["config"]["User"] == "1000:1000"
    # there is nothing to move now, and the old one may go only after the new one
    async with site.database.session() as session:
        with pytest.raises(Conflict, match="newest image already"):
            await checkpoint_moves.ask(session, "ada", ada.person, made.id)


@_ONE
async def test_a_service_that_ends_in_the_middle_goes_on_and_makes_one(
    site: Site, ada: Member, rebuilt: Checkpoint
) -> None:
    async with site.database.session() as session:
        move = await checkpoint_moves.ask(session, "ada", ada.person, rebuilt.id)
    await site.service.stop()
    await site.service.start()
    assert (await settled(site, move.id)).state == Step.CONFIRM
    await site.service.stop()
    await confirmed(site, ada, rebuilt)
    await confirmed(site, ada, rebuilt)  # twice is once
    await site.service.start()
    assert (await settled(site, move.id)).state == Step.DONE
    async with site.database.reading() as session:
        rows = await session.scalars(select(Checkpoint).where(Checkpoint.parent_id == rebuilt.id))
        assert len(rows.all()) == 1


@_ONE
async def test_an_image_without_a_list_is_refused_in_words(
    site: Site, ada: Member, rebuilt: Checkpoint
) -> None:
    bare = "sha256:" + "11" * 32
    await keep_base(site, bare, {"etc/other": b"x"})
    async with site.database.session() as session:
        await register_image(
            session, name=BASE_IMAGE, digest=bare, size_bytes=1, apps=[], labels={}
        )
    move = await asked(site, ada, rebuilt)
    assert move.state == Step.FAILED
    assert "no list of its files" in move.reason
    assert move.state not in OPEN


def packed(*entries: tarfile.TarInfo, format_: int = tarfile.PAX_FORMAT) -> io.BytesIO:
    import gzip

    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=format_) as tar:
        for each in entries:
            tar.addfile(each, io.BytesIO(b"x" * each.size))
    return io.BytesIO(gzip.compress(plain.getvalue()))


def entry(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type = size, kind
    return made


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_our_walk_reads_what_tar_writes(form: int) -> None:
    long = "a/" * 90 + "file-with-ü"
    names = ["./etc/x", "usr//bin/y", long]
    walk = Layer(packed(*(entry(name, 700) for name in names), format_=form))
    found = [member.path.decode() for member in walk.members()]
    assert found == ["etc/x", "usr/bin/y", long]


def test_a_layer_that_would_lead_out_or_fill_the_memory_is_refused() -> None:
    for name in ("../etc/passwd", "a/../../b"):
        with pytest.raises(Refused, match="leads out"):
            list(Layer(packed(entry(name))).members())
    huge = entry("x")
    huge.pax_headers = {"comment": "y" * 2**21}
    with pytest.raises(Refused, match="too long"):
        list(Layer(packed(huge)).members())
    with pytest.raises(Refused, match="damaged"):
        list(Layer(io.BytesIO(b"no gzip at all")).members())
    whole = packed(entry("x", 5000)).getvalue()
    with pytest.raises(Refused, match="damaged"):
        list(Layer(io.BytesIO(whole[: len(whole) // 2])).members())
    with pytest.raises(Refused, match="unknown kind"):
        list(Layer(packed(entry("x", kind=b"V"))).members())
    assert plain_path(b"/./a//b/") == b"a/b"


def test_a_file_built_anew_from_the_same_bytes_is_no_conflict(tmp_path: Path) -> None:
    recorded = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        files = image(folder, {"opt/same": "x", "opt/other": str(number)})
        os.utime(folder / "opt/same", (number, number))
        record(folder, frozenset())
        assert files
        recorded.append(Recorded((folder / MANIFEST).read_bytes()))
    content, _ = layer_of({"opt/same": b"y", "opt/other": b"y"})
    found = conflicts(Layer(io.BytesIO(content)).members(), *recorded)
    assert [each["path"] for each in found] == ["/opt/other"]
