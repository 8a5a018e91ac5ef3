"""Reads an archive of a checkpoint that somebody brought: trusts nothing that is not verified.

Blocks; run it in a thread. Nothing is unpacked to the disk.
"""

import gzip
import hashlib
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, cast

from petrihub_core.checkpoint_archive import (
    FORMAT,
    INDEX_FILE,
    LAYOUT_FILE,
    SIGNATURE_FILE,
    blob_file,
)
from petrihub_core.checkpoint_signing import signer_of, verified
from petrihub_core.errors import Refused
from petrihub_core.image_store import MANIFEST, Reader
from petrihub_images.documents import CONFIG, LAYER, Json, decoded
from petrihub_images.layers import LARGEST, MOST_FILES, Allowance, Member, Walk

_SMALL = 8 * 2**20
_TAIL = 16 * 2**20  # bytes of zeros that may follow the last member of a layer
_PIECE = 2**20
_MOST_LAYERS = 128
_MOST_FILES = _MOST_LAYERS + 16  # in the archive itself, with its folders
_NAME = re.compile(r"oci-layout|index\.json|petrihub\.jws|blobs/sha256/[0-9a-f]{64}")
_FOLDERS = ("blobs", "blobs/sha256")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where something lies in the archive."""

    offset: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """A verified archive: `about` is what its signer says, `places` are those of its blobs.

    `unpacked` are the bytes of all its layers where they are unpacked.
    """

    about: Json
    config: Json
    layers: list[Json]
    places: dict[str, Place]
    unpacked: int


@dataclass(frozen=True)
class Opened:
    """An archive whose parts are found; nothing in it is verified yet."""

    file: IO[bytes]
    places: dict[str, Place]

    def small(self, name: str) -> bytes:
        """A file of the archive that fits into memory; raises `Refused` without it."""
        place = self.places.get(name)
        if place is None:
            raise Refused(f"This is not an archive of a checkpoint: it has no {name}.")
        if place.size > _SMALL:
            raise Refused(f"{name} in this archive is too large.")
        self.file.seek(place.offset)
        return self.file.read(place.size)

    @property
    def signer(self) -> str:
        """Who says to have signed it."""
        return signer_of(self.small(SIGNATURE_FILE).decode(errors="replace"))


def opened(file: IO[bytes]) -> Opened:
    """Find the parts of an archive; raises `Refused` for anything but those it should have."""
    places: dict[str, Place] = {}
    for member in _members(file):
        name = member.path.decode(errors="replace")
        if member.is_folder and name in _FOLDERS:
            continue
        if member.kind != b"0" or not _NAME.fullmatch(name) or name in places:
            raise Refused(f"This is not an archive of a checkpoint: it holds {name[:100]!r}.")
        places[name] = Place(file.tell(), member.size)
    return Opened(file, places)


def _members(file: IO[bytes]) -> Iterator[Member]:
    try:
        yield from Walk(file, Allowance(members=_MOST_FILES)).members()
    except Refused as exc:
        raise Refused("This is not an archive of a checkpoint.") from exc


def arrived(archive: Opened, signer: str) -> Arrived:
    """The archive, with every signature, digest, size and path verified; raises `Refused`."""
    about = verified(archive.small(SIGNATURE_FILE).decode(errors="replace"), signer)
    if about.get("format") != FORMAT:
        raise Refused("This archive was made by a PetriHub of another kind.")
    if decoded(archive.small(LAYOUT_FILE)).get("imageLayoutVersion") != "1.0.0":
        raise Refused("This archive's layout is of another version.")
    listed = decoded(archive.small(INDEX_FILE)).get("manifests")
    if not isinstance(listed, list) or [each.get("digest") for each in listed] != [
        about.get("manifest")
    ]:
        raise Refused("This archive holds another image than the one that was signed.")
    manifest = _document(archive, listed[0], MANIFEST)
    config = _document(archive, manifest.get("config"), CONFIG)
    layers = manifest.get("layers")
    diff_ids = (config.get("rootfs") or {}).get("diff_ids")
    history = config.get("history")
    if not isinstance(layers, list) or not isinstance(diff_ids, list) or not layers:
        raise Refused("The image in this archive has no layers.")
    if len(layers) > _MOST_LAYERS:
        raise Refused(f"The image in this archive has more than {_MOST_LAYERS} layers.")
    if len(layers) != len(diff_ids) or not isinstance(history, list):
        raise Refused("The image in this archive does not fit together.")
    _require_machine(config)
    left = Allowance(LARGEST, MOST_FILES)  # of all layers together
    for layer, diff_id in zip(layers, diff_ids, strict=True):
        _require_layer(archive, layer, str(diff_id), left)
    used = {blob_file(str(each["digest"])) for each in layers}
    digests = [about["manifest"], manifest["config"]["digest"]]
    used |= {blob_file(str(each)) for each in digests}
    if extra := {name for name in archive.places if name.startswith("blobs/")} - used:
        raise Refused(f"This archive holds {len(extra)} files that belong to no image.")
    return Arrived(
        about=about,
        config=config,
        layers=layers,
        places=archive.places,
        unpacked=LARGEST - left.size,
    )


def _document(archive: Opened, described: Any, kind: str) -> Json:
    if not isinstance(described, dict) or described.get("mediaType") != kind:
        raise Refused("The image in this archive is of another form.")
    digest = str(described.get("digest"))
    content = archive.small(blob_file(digest))
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise Refused("A part of this archive is not what its name says.")
    if described.get("size") != len(content):
        raise Refused("A part of this archive is not as large as it should be.")
    return decoded(content)


def _require_machine(config: Json) -> None:
    ours = _MACHINES.get(platform.machine(), platform.machine())
    if (config.get("os"), config.get("architecture")) != ("linux", ours):
        raise Refused(
            f"This checkpoint is for {config.get('architecture')} machines; this one is {ours}."
        )


class _Counted:
    """Reads so many bytes, and hashes what is read."""

    def __init__(self, source: Reader, size: int | None = None) -> None:
        self._source, self._left = source, size
        self.sum = hashlib.sha256()

    def read(self, size: int = _PIECE, /) -> bytes:
        wanted = _PIECE if size < 0 else size
        found = self._source.read(wanted if self._left is None else min(wanted, self._left))
        if self._left is not None:
            self._left -= len(found)
        self.sum.update(found)
        return found

    @property
    def digest(self) -> str:
        """The name of what was read."""
        return f"sha256:{self.sum.hexdigest()}"


def _require_layer(archive: Opened, layer: Any, diff_id: str, left: Allowance) -> None:
    """Hash a layer packed and unpacked, and look at every path in it; it takes of what is left."""
    if not isinstance(layer, dict) or layer.get("mediaType") != LAYER:
        raise Refused("A layer in this archive is of another form.")
    digest = str(layer.get("digest"))
    place = archive.places.get(blob_file(digest))
    if place is None or layer.get("size") != place.size:
        raise Refused("A layer is missing in this archive, or not as large as it should be.")
    archive.file.seek(place.offset)
    packed = _Counted(archive.file, place.size)
    while packed.read(_PIECE):
        pass
    if packed.digest != digest:  # before anything is unpacked: it may be a bomb
        raise Refused("A part of this archive is not what its name says.")
    archive.file.seek(place.offset)
    packed = _Counted(archive.file, place.size)
    plain = _Counted(gzip.GzipFile(fileobj=cast("IO[bytes]", packed)))
    for _ in Walk(plain, left).members():
        pass
    tail = 0
    try:
        while piece := plain.read(_PIECE):
            tail += len(piece)
            if tail > _TAIL:
                raise Refused("A layer in this archive goes on after its end.")
    except (OSError, EOFError) as exc:
        raise Refused("A layer in this archive is damaged.") from exc
    if plain.digest != diff_id:
        raise Refused("A part of this archive is not what its name says.")
