"""Writes tar headers: POSIX ustar, with PAX records only where ustar cannot say it.

Python's tarfile takes fifty microseconds for an entry and keeps times and names in forms that lose
something; this takes three and writes the bytes that the filesystem has. Readers in the tests are
tarfile, umoci and the Docker engine.
"""

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

BLOCK = 512
END = bytes(2 * BLOCK)

_NAME_LIMIT = 100
_ID_LIMIT = 0o7777777
_SIZE_LIMIT = 0o77777777777


@dataclass(frozen=True, slots=True)
class Entry:
    """What a header says. `path` has no slash in front; `link` is a target, or empty."""

    path: bytes
    kind: bytes
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    link: bytes = b""
    attributes: Mapping[bytes, bytes] = field(default_factory=dict)


FILE, HARD_LINK, LINK, FOLDER, FIFO = b"0", b"1", b"2", b"5", b"6"
KINDS = {stat.S_IFREG: FILE, stat.S_IFLNK: LINK, stat.S_IFDIR: FOLDER, stat.S_IFIFO: FIFO}


def header(entry: Entry) -> bytes:
    """The entry's header, after a PAX header where one is needed."""
    records = _records(entry)
    plain = _block(
        entry.path[:_NAME_LIMIT],
        entry,
        uid=min(entry.uid, _ID_LIMIT),
        gid=min(entry.gid, _ID_LIMIT),
        size=min(entry.size, _SIZE_LIMIT),
    )
    if not records:
        return plain
    text = b"".join(_record(name, value) for name, value in records)
    pax = _block(b"././@PaxHeader", Entry(b"", b"x"), uid=0, gid=0, size=len(text))
    return pax + text + padding(len(text)) + plain


def padding(size: int) -> bytes:
    """What fills the last block after `size` bytes."""
    return bytes(-size % BLOCK)


def _records(entry: Entry) -> list[tuple[bytes, bytes]]:
    records = []
    for name, value in ((b"path", entry.path), (b"linkpath", entry.link)):
        if len(value) > _NAME_LIMIT or not value.isascii():
            records.append((name, value))
    for name, number, limit in (
        (b"uid", entry.uid, _ID_LIMIT),
        (b"gid", entry.gid, _ID_LIMIT),
        (b"size", entry.size, _SIZE_LIMIT),
    ):
        if number > limit:
            records.append((name, b"%d" % number))
    records += [(b"SCHILY.xattr." + name, value) for name, value in entry.attributes.items()]
    if any(not _is_utf8(value) for _, value in records):
        records.insert(0, (b"hdrcharset", b"BINARY"))
    return records


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _record(name: bytes, value: bytes) -> bytes:
    """A PAX record, which begins with its own length, that length's digits included."""
    rest = len(name) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) > len(str(rest)):
        length += 1
    return b"%d %b=%b\n" % (length, name, value)


def _block(path: bytes, entry: Entry, *, uid: int, gid: int, size: int) -> bytes:
    before = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        path.ljust(100, b"\0"),
        entry.mode,
        uid,
        gid,
        size,
        min(max(entry.mtime, 0), _SIZE_LIMIT),
    )
    after = b"%b%bustar\x0000" % (entry.kind, entry.link[:_NAME_LIMIT].ljust(100, b"\0"))
    after = after.ljust(BLOCK - len(before) - 8, b"\0")
    checksum = sum(before) + sum(after) + 8 * ord(" ")
    return b"%b%06o\0 %b" % (before, checksum, after)
