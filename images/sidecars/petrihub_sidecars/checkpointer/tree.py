"""Walks a root filesystem folder by folder, without ever following a link.

Only the standard library: it also runs as the last step of our image builds.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

MANIFEST_PATH = b"/usr/share/petrihub/manifest.gz"
DEPTH_LIMIT = 200  # folders in each other; an open file for each is needed
PATH_LIMIT = 4000  # bytes; the kernel takes 4095

# What belongs to the moment, or to this container alone, and never to an image.
EXCLUDED = frozenset(
    {
        *(b"/dev", b"/proc", b"/run", b"/sys", b"/tmp", b"/var/tmp"),
        *(b"/root", b"/var/cache"),  # nothing of the person's is in root's home
        *(b"/.dockerenv", b"/etc/mtab"),  # the engine makes them
        MANIFEST_PATH,
    }
)
_PID_FILE_LIMIT = 16  # bytes

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class TooDeep(Exception):
    """A folder lies deeper than what can be saved and restored; its path is the argument."""


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder that was read; `fd` is open until the next folder is asked for."""

    path: bytes
    fd: int
    entries: list[tuple[bytes, os.stat_result]]


@dataclass(frozen=True, slots=True)
class Walk:
    """The folders of the root behind `root_fd`; what is in `mounts` or excluded is left out.

    `closed` takes the folders that this account may not read.
    """

    root_fd: int
    mounts: frozenset[bytes] = frozenset()
    closed: list[bytes] = field(default_factory=list)

    def leaves_out(self, path: bytes) -> bool:
        """Whether this path, seen by itself and not by what it lies in, is left out."""
        return path in EXCLUDED or path in self.mounts

    def __iter__(self) -> Iterator[Folder]:
        """All folders, each before those in it, in the order of their names."""
        first = os.open(".", _FOLDER, dir_fd=self.root_fd)
        stack: list[tuple[int, Iterator[bytes]]] = [(first, iter(()))]
        try:
            folder, stack[0] = self._read(b"/", first)
            yield folder
            while stack:
                fd, waiting = stack[-1]
                path = next(waiting, None)
                if path is None:
                    os.close(stack.pop()[0])
                    continue
                if len(stack) > DEPTH_LIMIT or len(path) > PATH_LIMIT:
                    raise TooDeep(path)
                opened = self._open(path, fd)
                if opened is not None:
                    stack.append((opened, iter(())))
                    folder, stack[-1] = self._read(path, opened)
                    yield folder
        finally:
            for fd, _ in stack:
                os.close(fd)

    def _open(self, path: bytes, parent: int) -> int | None:
        try:
            return os.open(path.rpartition(b"/")[2], _FOLDER, dir_fd=parent)
        except PermissionError:
            self.closed.append(path)
        except OSError:
            pass  # it went, or became something else, since its parent was read
        return None

    def _read(self, path: bytes, fd: int) -> tuple[Folder, tuple[int, Iterator[bytes]]]:
        before = b"" if path == b"/" else path
        entries = []
        try:
            with os.scandir(fd) as found:
                for entry in found:
                    name = os.fsencode(entry.name)
                    if not self.leaves_out(before + b"/" + name):
                        with suppress(FileNotFoundError):
                            entries.append((name, entry.stat(follow_symlinks=False)))
        except PermissionError:
            self.closed.append(path)
            entries = []
        entries = sorted(
            (each for each in entries if _lasts(each[0], each[1])), key=lambda each: each[0]
        )
        folders = [before + b"/" + name for name, about in entries if stat.S_ISDIR(about.st_mode)]
        return Folder(path, fd, entries), (fd, iter(folders))


def _lasts(name: bytes, about: os.stat_result) -> bool:
    """Whether this means something to a later start: no sockets, devices or pid files."""
    kind = stat.S_IFMT(about.st_mode)
    if kind == stat.S_IFREG:
        return not (name.endswith(b".pid") and about.st_size <= _PID_FILE_LIMIT)
    return kind in (stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO)


def mount_points(mountinfo: bytes) -> frozenset[bytes]:
    """The places of a process's /proc/<pid>/mountinfo where something is mounted, but not `/`."""
    found = set()
    for line in mountinfo.splitlines():
        place = line.split(b" ")[4]
        for code, plain in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n")):
            place = place.replace(code, plain)
        found.add(place.replace(b"\\134", b"\\"))
    return frozenset(found - {b"/"})


class Opener:
    """Opens what a walk found, again without following a link anywhere on the way.

    Folders are opened one by one from the root; the last one stays open, since what is asked for
    next mostly lies beside it.
    """

    def __init__(self, root_fd: int) -> None:
        self._root = root_fd
        self._path = b"/"
        self._fd = os.open(".", _FOLDER, dir_fd=root_fd)

    def close(self) -> None:
        """Give the last folder back."""
        os.close(self._fd)

    def beside(self, path: bytes) -> tuple[int, bytes]:
        """The open folder that holds `path`, and its name there; raises `OSError`."""
        folder, _, name = path.rpartition(b"/")
        if (folder or b"/") != self._path:
            self._move(folder or b"/")
        return self._fd, name or b"."

    def _move(self, folder: bytes) -> None:
        fd = os.open(".", _FOLDER, dir_fd=self._root)
        try:
            for part in filter(None, folder.split(b"/")):
                inner = os.open(part, _FOLDER, dir_fd=fd)
                os.close(fd)
                fd = inner
        except OSError:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._path = fd, folder

    def stat(self, path: bytes) -> os.stat_result:
        """The entry itself, never what it points to."""
        fd, name = self.beside(path)
        return os.stat(name, dir_fd=fd, follow_symlinks=False)

    def open(self, path: bytes) -> int:
        """A regular file, for reading."""
        fd, name = self.beside(path)
        # O_NONBLOCK: what became a pipe since it was seen must not hold us
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(name, flags, dir_fd=fd)

    def readlink(self, path: bytes) -> bytes:
        """Where a link points."""
        fd, name = self.beside(path)
        return os.readlink(name, dir_fd=fd)
