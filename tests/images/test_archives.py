"""Checkpoints as files: written as they stream, read by a standard tool, taken in elsewhere.

Rows A35 (members that lead elsewhere), A37 (bombs; more in test_bombs.py): what is brought in is
trusted in nothing.
"""

import asyncio
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from petrihub_core import checkpoint_archive, checkpoint_imports, checkpoint_signing
from petrihub_core.checkpoint_import_records import CheckpointImport
from petrihub_core.checkpoint_imports import OPEN, Step
from petrihub_core.checkpoint_records import BaseImage, Checkpoint
from petrihub_core.checkpoint_sharing import Mode, Shared
from petrihub_core.errors import Conflict, NotAllowed, Refused
from petrihub_core.image_server import PULL, Access
from petrihub_core.image_store import MANIFEST
from petrihub_core.people import person_for
from petrihub_core.records import Person

from tests.conftest import skip
from tests.images.conftest import Member, Site, running_site

_ONE = pytest.mark.parametrize("site", ["sqlite"], indirect=True)  # the tables matter elsewhere
pytestmark = _ONE


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[Site]:
    """Another PetriHub, which has neither the base nor the people."""
    async with running_site(tmp_path / "elsewhere") as made:
        yield made


@pytest.fixture
async def row(site: Site, ada: Member) -> Checkpoint:
    asked = await site.ask(ada, "with DESeq2")
    order = await site.order(ada)
    result = await site.save(ada, order, {"opt/tool": bytes(range(256)) * 400, "etc/x": b"1"})
    packages = [{"kind": "r", "name": "DESeq2", "before": None, "after": "1.42"}]
    answer = await site.report(ada, asked.id, {**result, "packages": packages})
    assert answer.status_code == 204, answer.text
    async with site.database.session() as session:
        # an image that a profile of every PetriHub runs
        saved = await session.get_one(Checkpoint, asked.id)
        saved.base_image = site.deployment.profiles[0].image
        return saved


async def exported(site: Site, row: Checkpoint) -> bytes:
    async with site.database.session() as session:
        await checkpoint_archive.require_exportable(session, "ada", row, None)
        about = await checkpoint_archive.describe(session, row)
    made = await asyncio.to_thread(checkpoint_archive.archive, site.deployment, row, about)
    content = b"".join(made.pieces)
    assert len(content) == made.size  # what a download announces
    return content


async def somebody(site: Site) -> Person:
    async with site.database.session() as session:
        return await person_for(session, "local", "bob", username="bob")


async def brought(site: Site, content: bytes, part: int = 40_000) -> CheckpointImport:
    """Send an archive in parts, and wait for what becomes of it."""
    return await settled(site, await sent(site, content, part))


async def sent(site: Site, content: bytes, part: int = 40_000) -> CheckpointImport:
    person = await somebody(site)
    async with site.database.session() as session:
        deployment = site.deployment
        row = await checkpoint_imports.begin(session, deployment, "bob", person, len(content))
    for offset in range(0, len(content), part):
        async with site.database.session() as session:
            again = await checkpoint_imports.mine(session, person.id, row.id, lock=True)
            checkpoint_imports.receive(deployment, again, offset, content[offset : offset + part])
    return row


async def forgotten(site: Site) -> None:
    """Wait until no file that was sent is there: it goes right after it is settled."""
    folder = checkpoint_imports.file_of(site.deployment, "x").parent
    while list(folder.iterdir()):  # noqa: ASYNC110 - the test's own limit ends it
        await asyncio.sleep(0.02)


async def settled(site: Site, row: CheckpointImport) -> CheckpointImport:
    while True:
        async with site.database.reading() as session:
            row = await session.get_one(CheckpointImport, row.id)
        if row.state not in OPEN:
            return row
        await asyncio.sleep(0.05)  # ends with the test's own limit if it stays


async def trusting(site: Site, other: Site) -> None:
    async with site.database.session() as session:
        signer = checkpoint_signing.own_signer(other.deployment)
        await checkpoint_signing.trust(session, "operator", signer, "the other lab")


async def test_an_archive_is_taken_in_where_nothing_of_it_is_known(
    site: Site, row: Checkpoint, elsewhere: Site
) -> None:
    """The base comes along, the files are the same to the byte, and it can be built upon."""
    content = await exported(site, row)
    await trusting(elsewhere, site)
    done = await brought(elsewhere, content)
    assert done.state == Step.DONE, done.reason
    made = await elsewhere.row(done.result_id)
    assert (made.name, made.workspace, made.layer_digest) == (
        "with DESeq2",
        "imported",
        row.layer_digest,
    )
    repository = f"checkpoints/{made.owner}/imported"
    token = elsewhere.hub_token(Access(repository, PULL))
    here = f"{elsewhere.server.loopback}/v2/{repository}"  # as the hub's side reaches it
    path = f"{here}/manifests/{made.manifest_digest}"
    manifest = (await elsewhere.call("GET", path, token, headers={"Accept": MANIFEST})).json()
    for each in manifest["layers"]:
        path = f"{here}/blobs/{each['digest']}"
        blob = await elsewhere.call("GET", path, token)
        assert f"sha256:{hashlib.sha256(blob.content).hexdigest()}" == each["digest"]
    config = await elsewhere.call("GET", f"{here}/blobs/{manifest['config']['digest']}", token)
    assert config.json()["config"]["User"] == "1000:1000"
    async with elsewhere.database.reading() as session:
        base = await session.get_one(BaseImage, made.base_digest)
        assert base.repository.startswith("base/imported/")
        about = await checkpoint_archive.describe(session, made)
    assert about["packages"][0]["after"] == "1.42"
    await forgotten(elsewhere)
    # a second one finds the base that the first one brought
    again = await brought(elsewhere, content)
    assert (await elsewhere.row(again.result_id)).base_digest == made.base_digest


async def test_at_home_it_stands_on_the_base_that_is_there(site: Site, row: Checkpoint) -> None:
    done = await brought(site, await exported(site, row))
    assert done.state == Step.DONE, done.reason
    assert (await site.row(done.result_id)).base_digest == row.base_digest


async def test_an_unknown_signer_is_refused_until_an_administrator_trusts_the_key(
    site: Site, row: Checkpoint, elsewhere: Site
) -> None:
    content = await exported(site, row)
    signer = checkpoint_signing.own_signer(site.deployment)
    refused = await brought(elsewhere, content)
    assert refused.state == Step.FAILED
    assert f"petrihub checkpoints trust {signer}" in refused.reason
    await trusting(elsewhere, site)
    assert (await brought(elsewhere, content)).state == Step.DONE
    async with elsewhere.database.session() as session:
        await checkpoint_signing.distrust(session, "operator", signer)
        with pytest.raises(Refused, match="not the key"):
            await checkpoint_signing.trust(session, "operator", f"-{signer[1:]}", "")
    assert (await brought(elsewhere, content)).state == Step.FAILED


async def test_skopeo_reads_the_archive_as_any_other(
    site: Site, row: Checkpoint, tmp_path: Path
) -> None:
    """The signature lies beside the index, where standard tools do not mind it."""
    if shutil.which("skopeo") is None:
        skip("skopeo is not installed (apt-get install skopeo)")
    file = tmp_path / "checkpoint.tar"
    file.write_bytes(await exported(site, row))
    inspected = subprocess.run(  # noqa: ASYNC221 - of the site it asks nothing
        ["skopeo", "inspect", f"oci-archive:{file}"], capture_output=True, check=True
    )
    assert json.loads(inspected.stdout)["Digest"] == row.manifest_digest
    folder = tmp_path / "copied"
    subprocess.run(  # noqa: ASYNC221
        ["skopeo", "copy", "-q", f"oci-archive:{file}", f"dir:{folder}"],
        capture_output=True,
        check=True,
    )
    assert (folder / row.layer_digest.removeprefix("sha256:")).exists()


Files = dict[str, bytes]


def unpacked(content: bytes) -> Files:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]


def packed(files: Files, *more: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for each in more:
            tar.addfile(each)
    return out.getvalue()


def blob(files: Files, nth: int) -> str:
    """The name of a blob: 0 manifest, 1 configuration, then layers."""
    return [name for name in files if name.startswith("blobs/")][nth]


def changed_layer(files: Files) -> None:
    name = blob(files, 3)
    files[name] = files[name][:-20] + bytes(20)


def bomb(files: Files) -> None:
    """A37: a GiB of zeros in the place of a layer; it is never unpacked."""
    files[blob(files, 3)] = gzip.compress(bytes(2**20), 1) * 1024


def another_image(files: Files) -> None:
    index = json.loads(files["index.json"])
    content = files[blob(files, 0)] + b"\n"
    index["manifests"][0] |= {
        "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "size": len(content),
    }
    files["index.json"] = json.dumps(index).encode()
    files["blobs/sha256/" + index["manifests"][0]["digest"][7:]] = content


def changed_words(files: Files) -> None:
    head, _, signature = files["petrihub.jws"].split(b".")
    files["petrihub.jws"] = head + b".eyJmb3JtYXQiOiAieCJ9." + signature


def one_more_blob(files: Files) -> None:
    files["blobs/sha256/" + "0" * 64] = b"smuggled"


def no_signature(files: Files) -> None:
    del files["petrihub.jws"]


def no_algorithm(files: Files) -> None:
    import base64

    header = base64.urlsafe_b64encode(b'{"alg":"none","kid":"' + b"a" * 64 + b'"}').rstrip(b"=")
    files["petrihub.jws"] = header + b".e30."


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed_layer, "not what its name says"),
        (bomb, "not as large as it should be"),
        (another_image, "another image than the one that was signed"),
        (changed_words, "signature is wrong"),
        (one_more_blob, "belong to no image"),
        (no_signature, "has no petrihub.jws"),
        (no_algorithm, "does not trust"),
    ],
)
async def test_what_was_changed_after_signing_is_refused(
    site: Site, row: Checkpoint, change: Callable[[Files], None], words: str
) -> None:
    files = unpacked(await exported(site, row))
    change(files)
    refused = await brought(site, packed(files))
    assert refused.state == Step.FAILED
    assert words in refused.reason
    async with site.database.reading() as session:
        assert await session.get(Checkpoint, refused.result_id) is None
    await forgotten(site)


async def test_a35_members_that_do_not_belong_there_are_refused(
    site: Site, row: Checkpoint
) -> None:
    files = unpacked(await exported(site, row))
    link = tarfile.TarInfo("blobs/sha256/" + "1" * 64)
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
    twice = tarfile.TarInfo("index.json")
    for each in (tarfile.TarInfo("../../etc/cron.d/x"), tarfile.TarInfo("etc/x"), link, twice):
        refused = await brought(site, packed(files, each))
        assert refused.state == Step.FAILED, each.name
    refused = await brought(site, b"not even a tar" * 100)
    assert refused.state == Step.FAILED
    assert "This is not an archive of a checkpoint" in refused.reason


async def test_parts_follow_each_other_and_read_only_is_not_taken_away(
    site: Site, row: Checkpoint
) -> None:
    person = await somebody(site)
    async with site.database.session() as session:
        begun = await checkpoint_imports.begin(session, site.deployment, "bob", person, 1000)
        left = begun
        checkpoint_imports.receive(site.deployment, left, 0, b"x")
        begun = await checkpoint_imports.begin(session, site.deployment, "bob", person, 1000)
        assert left.state == Step.FAILED
        assert not checkpoint_imports.file_of(site.deployment, left.id).exists()
        with pytest.raises(Conflict, match="begins at 0"):
            checkpoint_imports.receive(site.deployment, begun, 10, b"x")
        with pytest.raises(Refused, match="not as long"):
            checkpoint_imports.receive(site.deployment, begun, 0, b"x" * 1001)
        checkpoint_imports.receive(site.deployment, begun, 0, b"x" * 1000)
        with pytest.raises(Conflict, match="checked now"):
            await checkpoint_imports.begin(session, site.deployment, "bob", person, 1000)
        shared = Shared(checkpoint=row, sharer="ada", mode=Mode.READ, until=None)
        with pytest.raises(NotAllowed, match="read-only"):
            await checkpoint_archive.require_exportable(session, "bob", row, shared)
