"""Our own walk over the members of a layer: a stream, never unpacked, with limits everywhere."""

import gzip
import posixpath
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, cast

from petrihub_core.errors import Refused
from petrihub_core.image_store import Reader

LARGEST = 64 * 2**30  # bytes that an image may have unpacked
MOST_FILES = 4_000_000

_BLOCK = 512
_HEADER_LIMIT = 2**20  # bytes of the longest name and attributes of one member
_SPARSE = b"GNU.sparse."  # a few bytes that stand for any number of zeros, where it is unpacked
_PIECE = 2**20
_FILE, _FOLDER, _PAX, _GLOBAL, _LONG_NAME, _LONG_LINK = b"0", b"5", b"x", b"g", b"L", b"K"
_KINDS = {b"\0": b"0", b"7": b"0"}
_KNOWN = (b"0", b"1", b"2", b"3", b"4", b"5", b"6")


@dataclass(frozen=True, slots=True)
class Member:
    """One entry: its path without a slash at the begin, and whether it is a folder or a file."""

    path: bytes
    kind: bytes
    size: int

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.kind == _FOLDER


@dataclass(slots=True)
class Allowance:
    """What may still be unpacked: of one layer, or of several that share it."""

    size: int = LARGEST  # bytes
    members: int = MOST_FILES


class Walk:
    """A tar as it comes; `members` can be gone through once."""

    def __init__(self, plain: Reader, allowance: Allowance | None = None) -> None:
        self._plain = plain
        self._left = self._padding = 0
        self._allowance = allowance or Allowance()

    def members(self) -> Iterator[Member]:
        """All entries; raises `Refused` for what is no layer."""
        while True:
            header = self._exactly(_BLOCK)
            if header == bytes(_BLOCK):
                return
            extra: dict[bytes, bytes] = {}
            while (kind := header[156:157]) in (_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK):
                self._take_in(header, kind, extra)
                header = self._exactly(_BLOCK)
            self._allowance.members -= 1
            if self._allowance.members < 0:
                raise Refused("It holds more files than an image may have.")
            yield self._member(header, _KINDS.get(kind, kind), extra)
            self._skip()

    def content(self, limit: int) -> bytes:
        """What is in the file that `members` gave last."""
        if self._left > limit:
            raise Refused("A file in this layer is too large.")
        found = self._exactly(self._left)
        self._left = 0
        return found

    def _member(self, header: bytes, kind: bytes, extra: dict[bytes, bytes]) -> Member:
        if kind not in _KNOWN:
            raise Refused("This layer has an entry of an unknown kind.")
        size = _number(extra.get(b"size") or header[124:136], pax=b"size" in extra)
        size = size if kind == _FILE else 0
        if size > self._allowance.size:  # known before any of it is read
            raise _too_large()
        self._left, self._padding = size, -size % _BLOCK
        name = extra.get(b"path") or _ustar_name(header)
        return Member(path=plain_path(name), kind=kind, size=size)

    def _take_in(self, header: bytes, kind: bytes, extra: dict[bytes, bytes]) -> None:
        size = _number(header[124:136], pax=False)
        if size > _HEADER_LIMIT:
            raise Refused("This layer has a name that is too long.")
        content = self._exactly(size)
        self._exactly(-size % _BLOCK)
        if kind == _PAX:
            extra.update(_pax(content))
            if any(key.startswith(_SPARSE) for key in extra):
                raise Refused("This layer has an entry of an unknown kind.")
        elif kind == _LONG_NAME:
            extra[b"path"] = content.rstrip(b"\0")

    def _skip(self) -> None:
        left = self._left + self._padding
        while left:
            piece = self._exactly(min(left, _PIECE))
            left -= len(piece)

    def _exactly(self, size: int) -> bytes:
        self._allowance.size -= size
        if self._allowance.size < 0:
            raise _too_large()
        try:
            found = self._plain.read(size)
        except (OSError, EOFError, zlib.error) as exc:
            raise _damaged() from exc
        if len(found) != size:
            raise _damaged()
        return found


class Layer(Walk):
    """A gzipped tar as it comes."""

    def __init__(self, packed: Reader) -> None:
        super().__init__(gzip.GzipFile(fileobj=cast("IO[bytes]", packed)))


def plain_path(name: bytes) -> bytes:
    """The one way to write a member's path; raises `Refused` for one that leads elsewhere."""
    parts = [each for each in name.split(b"/") if each not in (b"", b".")]
    if b".." in parts or b"\0" in name:
        raise Refused("This layer has a path that leads out of it.")
    return posixpath.join(*parts) if parts else b""


def _ustar_name(header: bytes) -> bytes:
    name, before = header[:100].rstrip(b"\0"), header[345:500].rstrip(b"\0")
    return before + b"/" + name if header[257:262] == b"ustar" and before else name


def _number(field: bytes, *, pax: bool) -> int:
    try:
        if not pax and field[0] & 0x80:  # GNU's way for large ones
            found = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        else:
            found = int(field.strip(b" \0") or b"0", 10 if pax else 8)
    except ValueError as exc:
        raise _damaged() from exc
    if found < 0:
        raise _damaged()
    return found


def _pax(content: bytes) -> dict[bytes, bytes]:
    found = {}
    while content:
        length, _, _ = content.partition(b" ")
        try:
            end = int(length)
        except ValueError as exc:
            raise _damaged() from exc
        if not len(length) < end <= len(content):
            raise _damaged()
        key, _, value = content[len(length) + 1 : end - 1].partition(b"=")
        found[key] = value
        content = content[end:]
    return found


def _too_large() -> Refused:
    return Refused("Unpacked it is larger than an image may be.")


def _damaged() -> Refused:
    return Refused("This layer is damaged.")
