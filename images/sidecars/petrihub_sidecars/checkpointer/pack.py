"""Packs what a comparison found into one layer; each file as it was at one moment."""

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from petrihub_sidecars.checkpointer import tar
from petrihub_sidecars.checkpointer.compare import (
    DELETED,
    NOT_READABLE,
    WHITEOUT,
    Changes,
    Finding,
    Item,
    user_attributes,
)
from petrihub_sidecars.checkpointer.findings import HEAD, Detector
from petrihub_sidecars.checkpointer.stream import Layer, LayerFile
from petrihub_sidecars.checkpointer.tree import Opener

SIZE_LIMIT = 32 * 2**30  # bytes in all; a sparse file counts with its length, as it is restored

_AT_ONCE = 4 * 2**20  # bytes of a file that are read into memory
_BLOCK = 2**20
_TRIES = 3
# what the kernel says of a link where a file was, of a file where a link was, of a socket
_BECAME_ANOTHER = (errno.ELOOP, errno.EINVAL, errno.ENXIO)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Progress = Callable[[int, int], None]


class TooBig(Exception):
    """What changed is more than what can be saved; the bytes are the argument."""


@dataclass(frozen=True)
class Packed:
    """A layer, what was found in it, and the files that did not keep still."""

    layer: Layer
    findings: list[Finding]
    unsettled: list[bytes]


@dataclass(slots=True)
class _Content:
    """A file's bytes as they were at one moment, unless it never kept still."""

    about: os.stat_result
    size: int
    head: bytes
    blocks: Iterator[bytes]
    settled: bool


def size_of(changes: Changes) -> int:
    """The bytes of all files that would be saved, those with several names counted once."""
    files = {
        (about.st_dev, about.st_ino): about.st_size
        for item in changes.items
        if (about := item.about) is not None and stat.S_ISREG(about.st_mode)
    }
    return sum(files.values())


@dataclass
class Packer:
    """Writes layers of the root behind `opener`; copies of big files go to the folder `spool`."""

    opener: Opener
    detector: Detector
    spool: Path
    progress: Progress = lambda files, size: None
    _findings: list[Finding] = field(default_factory=list)
    _unsettled: list[bytes] = field(default_factory=list)
    _first_names: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def look(self, changes: Changes) -> list[Finding]:
        """The findings of a layer that is not written."""
        self._check_size(changes)
        for number, item in enumerate(changes.items):
            if item.about is not None and stat.S_ISREG(item.about.st_mode):
                self._look_into(item)
            self.progress(number, 0)
        return sorted([*changes.findings, *self._findings], key=lambda each: each.path)

    def pack(self, changes: Changes) -> Packed:
        """The layer of these changes, without what cannot be read; raises OSError, TooBig."""
        self._check_size(changes)
        file = LayerFile(self.spool / "layer.tar.gz")
        try:
            for number, item in enumerate(changes.items):
                self._add(file, item)
                self.progress(number + 1, file.written)
            file.write(tar.END)
            layer = file.close()
        except BaseException:
            file.discard()
            raise
        findings = sorted([*changes.findings, *self._findings], key=lambda each: each.path)
        return Packed(layer, findings, self._unsettled)

    def _check_size(self, changes: Changes) -> None:
        if (size := size_of(changes)) > SIZE_LIMIT:
            raise TooBig(size)

    def _look_into(self, item: Item) -> None:
        try:
            fd = self.opener.open(item.path)
        except PermissionError:
            self._findings.append(Finding(item.path, NOT_READABLE))
            return
        except OSError:
            return  # it went, or became something else
        try:
            self._detect(item.path, os.pread(fd, HEAD, 0))
        finally:
            os.close(fd)

    def _detect(self, path: bytes, head: bytes) -> None:
        if pattern := self.detector.named(path) or self.detector.in_text(head):
            self._findings.append(Finding(path, pattern))

    def _add(self, file: LayerFile, item: Item) -> None:
        """Add one entry as it is now; what went in the meantime is a deletion, or was never."""
        about = item.about
        try:
            if about is None:
                file.write(tar.header(_whiteout(item.path)))
            elif stat.S_ISREG(about.st_mode):
                self._add_file(file, item)
            elif stat.S_ISLNK(about.st_mode):
                target = self.opener.readlink(item.path)
                file.write(tar.header(_entry(item.path, about, link=target)))
            else:
                file.write(tar.header(_entry(item.path, about, extra=self._attributes(item))))
        except PermissionError:
            self._findings.append(Finding(item.path, NOT_READABLE))
        except (FileNotFoundError, NotADirectoryError):
            if item.recorded and item.kind != DELETED:
                file.write(tar.header(_whiteout(item.path)))
        except OSError as exc:
            if exc.errno not in _BECAME_ANOTHER:
                raise
            self._unsettled.append(item.path)

    def _attributes(self, item: Item) -> dict[bytes, bytes]:
        """Of a folder; a pipe has none."""
        folder, name = self.opener.beside(item.path)
        try:
            fd = os.open(name, _FOLDER, dir_fd=folder)
        except (NotADirectoryError, PermissionError):
            return {}
        try:
            return user_attributes(fd)
        finally:
            os.close(fd)

    def _add_file(self, file: LayerFile, item: Item) -> None:
        with contextlib.ExitStack() as stack:
            fd = self._open(item.path)
            stack.callback(os.close, fd)
            inode = (about := os.fstat(fd)).st_dev, about.st_ino
            if about.st_nlink > 1 and (first := self._first_names.get(inode)):
                entry = tar.Entry(item.path[1:], tar.HARD_LINK, link=first[1:])
                file.write(tar.header(_with_owner(entry, about)))
                return
            content = self._content(fd, stack)
            self._detect(item.path, content.head)
            if not content.settled:
                self._unsettled.append(item.path)
            entry = _entry(item.path, content.about, extra=user_attributes(fd), size=content.size)
            file.write(tar.header(entry))
            for block in content.blocks:
                file.write(block)
            file.write(tar.padding(content.size))
            if about.st_nlink > 1:
                self._first_names[inode] = item.path

    def _open(self, path: bytes) -> int:
        fd = self.opener.open(path)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "this is no file any more")
        return fd

    def _content(self, fd: int, stack: contextlib.ExitStack) -> _Content:
        """The bytes of one moment: read again while the file changes; after that, the last ones."""
        for left in reversed(range(_TRIES)):
            before = os.fstat(fd)
            if before.st_size <= _AT_ONCE:
                data = _read(fd, before.st_size)
                size, head, blocks = len(data), data[:HEAD], iter((data,))
            else:
                copy = stack.enter_context(_unnamed(self.spool))
                size = _copy(fd, copy.fileno(), before.st_size)
                head, blocks = os.pread(copy.fileno(), HEAD, 0), _blocks(copy.fileno(), size)
            settled = _same(before, os.fstat(fd)) and size == before.st_size
            if settled or not left:
                return _Content(before, size, head, blocks, settled)
        raise AssertionError  # the loop returns


def _unnamed(folder: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=folder)


def _same(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )


def _read(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size and (block := os.pread(fd, size - len(data), len(data))):
        data += block
    return data


def _copy(source: int, target: int, size: int) -> int:
    """Copy up to `size` bytes, without the holes of a sparse file; how many there were."""
    at = 0
    while at < size:
        try:
            data = os.lseek(source, at, os.SEEK_DATA)
            end = min(os.lseek(source, data, os.SEEK_HOLE), size)
        except OSError:  # only a hole is left
            break
        at = data
        while at < end:
            os.lseek(target, at, os.SEEK_SET)
            sent = os.sendfile(target, source, at, end - at)
            if not sent:
                return at  # it became shorter
            at += sent
    size = min(size, os.fstat(source).st_size)
    os.ftruncate(target, size)
    return size


def _blocks(fd: int, size: int) -> Iterator[bytes]:
    for at in range(0, size, _BLOCK):
        yield os.pread(fd, min(_BLOCK, size - at), at)


def _whiteout(path: bytes) -> tar.Entry:
    folder, _, name = path[1:].rpartition(b"/")
    return tar.Entry((folder + b"/" if folder else b"") + WHITEOUT + name, tar.FILE)


def _entry(
    path: bytes,
    about: os.stat_result,
    *,
    link: bytes = b"",
    extra: dict[bytes, bytes] | None = None,
    size: int = 0,
) -> tar.Entry:
    kind = tar.KINDS[stat.S_IFMT(about.st_mode)]
    slash = b"/" if kind == tar.FOLDER else b""
    entry = tar.Entry(path[1:] + slash, kind, size=size, link=link, attributes=extra or {})
    return _with_owner(entry, about)


def _with_owner(entry: tar.Entry, about: os.stat_result) -> tar.Entry:
    # set-user-id and set-group-id of programs go: nothing in a workspace may gain rights by them
    # (no-new-privileges), and whoever runs the image elsewhere must not be surprised by them
    rights = 0o3777 if stat.S_ISDIR(about.st_mode) else 0o1777
    return tar.Entry(
        path=entry.path,
        kind=entry.kind,
        mode=0o777 if entry.kind == tar.LINK else about.st_mode & rights,
        uid=about.st_uid,
        gid=about.st_gid,
        size=entry.size,
        mtime=about.st_mtime_ns // 1_000_000_000,
        link=entry.link,
        attributes=entry.attributes,
    )
