"""A37: archives that a trusted signer has signed, and that would fill the disk or the memory.

Every digest in them is right. They are refused in words, and nothing of them is kept.
"""

import gzip
import hashlib
import json
import shutil
import tarfile
from types import SimpleNamespace
from typing import Any

import pytest

from petrihub_core import checkpoint_signing
from petrihub_core.checkpoint_imports import Step
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_images import arriving

from tests.images.conftest import Site, digest, layer_of
from tests.images.test_archives import (  # noqa: F401
    Files,
    brought,
    exported,
    forgotten,
    packed,
    row,
    unpacked,
)

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


def with_layers(site: Site, files: Files, layers: list[tuple[bytes, str]]) -> Files:
    """The same archive with these layers in the place of the last one, signed once more."""

    def put(content: bytes) -> dict[str, Any]:
        files[f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"] = content
        return {"digest": digest(content), "size": len(content)}

    def taken(described: dict[str, Any]) -> bytes:
        return files.pop(f"blobs/sha256/{described['digest'][7:]}")

    index = json.loads(files["index.json"])
    manifest = json.loads(taken(index["manifests"][0]))
    config = json.loads(taken(manifest["config"]))
    kind = manifest["layers"][-1]["mediaType"]
    taken(manifest["layers"].pop())
    config["rootfs"]["diff_ids"].pop()
    for content, diff_id in layers:
        manifest["layers"].append({"mediaType": kind, **put(content)})
        config["rootfs"]["diff_ids"].append(diff_id)
    manifest["config"] |= put(json.dumps(config).encode())
    index["manifests"][0] |= put(json.dumps(manifest).encode())
    about = checkpoint_signing.verified(
        files["petrihub.jws"].decode(), checkpoint_signing.own_signer(site.deployment)
    )
    about["manifest"] = index["manifests"][0]["digest"]
    files["petrihub.jws"] = checkpoint_signing.signed(site.deployment, about).encode()
    files["index.json"] = json.dumps(index).encode()
    return files


def with_member(entry: tarfile.TarInfo, content: bytes = b"") -> tuple[bytes, str]:
    """A layer whose one member says of itself what it likes."""
    plain = entry.tobuf(tarfile.PAX_FORMAT) + content + bytes(1024)
    return gzip.compress(plain, mtime=0), digest(plain)


def claiming() -> tuple[bytes, str]:
    """A file of a tebibyte, of which nothing comes."""
    entry = tarfile.TarInfo("opt/huge")
    entry.size = 2**40
    return with_member(entry)


def sparse() -> tuple[bytes, str]:
    """A file of one block that is a tebibyte where the engine unpacks it."""
    entry = tarfile.TarInfo("opt/sparse")
    entry.size = 512
    entry.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.realsize": str(2**40),
    }
    return with_member(entry, b"0\n" + bytes(510))


async def test_a37_bombs_of_a_trusted_signer_are_refused_in_words(
    site: Site,
    row: Checkpoint,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = await exported(site, row)
    half = layer_of({"opt/half": bytes(600_000)})
    other = layer_of({"opt/other": bytes(600_000)})
    many = layer_of({f"opt/{number}": b"" for number in range(200)})

    async def refusal(*layers: tuple[bytes, str]) -> str:
        made = with_layers(site, unpacked(content), [*layers])
        done = await brought(site, packed(made), part=2**20)
        assert done.state == Step.FAILED
        return done.reason

    assert "larger than an image may be" in await refusal(claiming())
    assert "unknown kind" in await refusal(sparse())
    assert "more than 128 layers" in await refusal(*[half] * 130)
    # all layers together, each of which would do
    monkeypatch.setattr(arriving, "LARGEST", 2**20)
    assert "larger than an image may be" in await refusal(half, other)
    monkeypatch.undo()
    monkeypatch.setattr(arriving, "MOST_FILES", 150)
    assert "more files than an image may have" in await refusal(many)
    monkeypatch.undo()
    # 4,000,000 empty blobs would be a file of 2 GiB, and more in memory
    files = unpacked(content) | {f"blobs/sha256/{number:064}": b"" for number in range(200)}
    done = await brought(site, packed(files), part=2**20)
    assert (done.state, "not an archive of a checkpoint" in done.reason) == (Step.FAILED, True)
    # what grew when it was looked at: there was room for the file, not for what is in it
    free = [len(content), 100 * len(content)]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free.pop()))
    done = await brought(site, content, part=2**20)
    assert (done.state, "disk has no space" in done.reason) == (Step.FAILED, True)
    await forgotten(site)
    # and what is as it should be is taken
    monkeypatch.undo()
    made = with_layers(site, unpacked(content), [half, other])
    assert (await brought(site, packed(made), part=2**20)).state == Step.DONE
