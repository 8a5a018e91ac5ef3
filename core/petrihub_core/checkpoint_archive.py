"""A checkpoint as one file: an OCI image layout in a tar, with a signature beside its index.

What the signature covers names the image's manifest, and that names everything else by its
content. Tools that know OCI archives read the file as it is.
"""

import hashlib
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoint_share_records import CheckpointPackages
from petrihub_core.checkpoint_sharing import Mode, Shared
from petrihub_core.checkpoint_signing import signed
from petrihub_core.checkpoints import State
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Conflict, NotAllowed, Unavailable
from petrihub_core.image_server import checkpoint_repository, require_image_server
from petrihub_core.image_store import MANIFEST, Store, digest_of, document_bytes

FORMAT = "petrihub checkpoint 1"
LAYOUT_FILE, INDEX_FILE, SIGNATURE_FILE = "oci-layout", "index.json", "petrihub.jws"
BLOBS = "blobs/sha256/"
INDEX = "application/vnd.oci.image.index.v1+json"
_PIECE = 2**20


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A file to be sent: its length in bytes, and its bytes as they come. Read it once."""

    name: str
    size: int
    pieces: Iterator[bytes]


async def describe(session: AsyncSession, row: Checkpoint) -> dict[str, Any]:
    """What the archive will say of this checkpoint."""
    kept = await session.get(CheckpointPackages, row.id)
    return {
        "format": FORMAT,
        "manifest": row.manifest_digest,
        "name": row.name,
        "message": row.message,
        "author": row.author,
        "created": row.created_at.isoformat(),
        "workspace": row.workspace,
        "base_image": row.base_image,
        "summary": row.summary,
        "changes": row.changes,
        "packages": kept.packages if kept else [],
    }


async def require_exportable(
    session: AsyncSession, actor: str, row: Checkpoint, shared: Shared | None
) -> None:
    """Write down that it is exported; raises `NotAllowed` for what is shared read-only."""
    if row.state != State.DONE:
        raise Conflict("This is not saved, so it cannot be exported.")
    if shared is not None and shared.mode is not Mode.DERIVE:
        raise NotAllowed(
            f"{shared.sharer} shares {row.name} read-only, so you cannot take it away.",
            hint=f"Ask {shared.sharer} to let you build on it.",
        )
    await audit.record(
        session,
        actor=actor,
        action="checkpoint.exported",
        target=f"{row.owner}/{row.workspace}/{row.id}",
        detail={"name": row.name, "manifest": row.manifest_digest},
    )


def archive(deployment: Deployment, row: Checkpoint, about: dict[str, Any]) -> Archive:
    """The archive of a checkpoint; raises `Unavailable` if the image server does not answer.

    Blocks, and so do the pieces: read them in a thread.
    """
    store = Store(deployment, require_image_server(deployment).registry)
    repository = checkpoint_repository(row.owner, row.workspace)
    manifest = store.manifest(repository, row.manifest_digest)
    image = json.loads(manifest)
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [
            {
                "mediaType": MANIFEST,
                "digest": digest_of(manifest),
                "size": len(manifest),
                "annotations": {
                    "org.opencontainers.image.ref.name": "checkpoint",
                    "org.opencontainers.image.title": row.name,
                },
            }
        ],
    }
    small = {
        LAYOUT_FILE: document_bytes({"imageLayoutVersion": "1.0.0"}),
        INDEX_FILE: document_bytes(index),
        SIGNATURE_FILE: signed(deployment, about).encode(),
        blob_file(digest_of(manifest)): manifest,
    }
    # two layers may be the same: the file is there once
    large = {str(each["digest"]): int(each["size"]) for each in [image["config"], *image["layers"]]}
    sizes = [*map(len, small.values()), *large.values()]
    return Archive(
        name=f"{row.id}.petrihub.tar",
        size=sum(512 + size + -size % 512 for size in sizes) + 1024,
        pieces=_pieces(store, repository, small, large),
    )


def blob_file(digest: str) -> str:
    """Where a blob lies in the archive."""
    return BLOBS + digest.removeprefix("sha256:")


def _pieces(
    store: Store, repository: str, small: dict[str, bytes], large: dict[str, int]
) -> Iterator[bytes]:
    try:
        for name, content in small.items():
            yield _header(name, len(content)) + content + bytes(-len(content) % 512)
        for digest, size in large.items():
            yield _header(blob_file(digest), size)
            found, left, last = hashlib.sha256(), size, b""
            with store.blob(repository, digest) as blob:
                while piece := blob.read(_PIECE):
                    found.update(piece)
                    left -= len(piece)
                    yield last
                    last = piece
            if left or f"sha256:{found.hexdigest()}" != digest:
                # the length that was announced is not reached: whoever receives it sees that
                raise Unavailable(
                    "A part of this checkpoint is damaged in the image server.",
                    hint="Tell the administrator: it must come back from a backup.",
                )
            yield last + bytes(-size % 512)
        yield bytes(1024)
    finally:
        store.close()


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    return entry.tobuf(tarfile.GNU_FORMAT)  # which has room for any size in one block
