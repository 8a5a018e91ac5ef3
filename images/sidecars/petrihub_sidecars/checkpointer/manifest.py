"""The manifest of an image: what every path of its root filesystem was when it was built.

A gzipped text. First a line with the format, then one block for each folder, parted by empty lines:
the folder's path, then a line for each entry: name, attributes and content, parted by tabs. Names
are escaped, so that a tab or a newline in one does no harm. The content of a file is its SHA-256,
that of a link its target. Only the standard library: image builds write it with Debian's Python.
"""

import gzip
import hashlib
import os
import stat
import zlib
from collections.abc import Iterable
from pathlib import Path

FORMAT = b"petrihub manifest 1"
SIZE_LIMIT = 2**30  # bytes of text; an image of 100,000 files has about twelve million
_BLOCK = 2**20


class NotAManifest(Exception):
    """The file is not a manifest, or one of a format that we do not know."""


def escaped(name: bytes) -> bytes:
    """The name without tabs and newlines."""
    if b"\\" in name or b"\t" in name or b"\n" in name:
        return name.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n")
    return name


def unescaped(text: bytes) -> bytes:
    """The name as the filesystem has it."""
    if b"\\" not in text:
        return text
    # a doubled backslash first becomes a byte that no name has
    text = text.replace(b"\\\\", b"\0").replace(b"\\t", b"\t").replace(b"\\n", b"\n")
    return text.replace(b"\0", b"\\")


def described(about: os.stat_result) -> bytes:
    """Kind, mode, owner and, where they mean something, size and time, as a manifest has them.

    Times are whole seconds: a registry keeps no more.
    """
    mode = about.st_mode
    if stat.S_ISREG(mode):
        return b"f%o %d %d %d %d" % (
            *(mode & 0o7777, about.st_uid, about.st_gid),
            *(about.st_size, about.st_mtime_ns // 1_000_000_000),
        )
    kind = {stat.S_IFDIR: b"d", stat.S_IFLNK: b"l", stat.S_IFIFO: b"p"}[stat.S_IFMT(mode)]
    # what a link's mode says depends on the filesystem
    shown = 0 if kind == b"l" else mode & 0o7777
    return b"%b%o %d %d" % (kind, shown, about.st_uid, about.st_gid)


def sha256_of(fd: int) -> bytes:
    """The SHA-256 of an open file, in hexadecimal."""
    digest = hashlib.sha256()
    while block := os.read(fd, _BLOCK):
        digest.update(block)
    return digest.hexdigest().encode()


def write(path: Path, folders: Iterable[tuple[bytes, Iterable[tuple[bytes, bytes, bytes]]]]) -> int:
    """Write a manifest of folders with their entries (name, attributes, content); its entries.

    The same folders always give the same bytes.
    """
    count = 0
    with path.open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as out:
        out.write(FORMAT + b"\n")
        for folder, entries in folders:
            lines = [
                b"%b\t%b\t%b" % (escaped(name), about, escaped(content))
                for name, about, content in entries
            ]
            count += len(lines)
            out.write(b"\n".join([b"\n" + escaped(folder), *lines, b""]))
    return count


class Manifest:
    """A manifest that was read; folders are taken apart when they are asked for."""

    def __init__(self, text: bytes) -> None:
        head, _, rest = text.partition(b"\n")
        if head != FORMAT:
            raise NotAManifest("This image's list of its files is of an unknown format.")
        self._folders: dict[bytes, bytes] = {}
        for block in rest.split(b"\n\n"):
            folder, _, lines = block.strip(b"\n").partition(b"\n")
            self._folders[unescaped(folder)] = lines

    @classmethod
    def read(cls, fd: int) -> "Manifest":
        """From an open file; raises `NotAManifest`."""
        with open(fd, "rb", closefd=False) as file:
            packed = file.read()
        unpacker = zlib.decompressobj(wbits=31)
        try:
            text = unpacker.decompress(packed, SIZE_LIMIT)
        except zlib.error as exc:
            raise NotAManifest("This image's list of its files is damaged.") from exc
        if not unpacker.eof:
            raise NotAManifest("This image's list of its files is damaged or too long.")
        return cls(text)

    def folders(self) -> Iterable[bytes]:
        """The paths of all folders."""
        return self._folders.keys()

    def entries(self, folder: bytes) -> dict[bytes, tuple[bytes, bytes]]:
        """What lay in the folder: attributes and content of each name; empty if it was not."""
        lines = self._folders.get(folder)
        if not lines:
            return {}
        found = {}
        for line in lines.split(b"\n"):
            name, about, content = line.split(b"\t")
            found[unescaped(name)] = (about, unescaped(content))
        return found
