"""Compares a root filesystem with the manifest of its image: what was added, changed, deleted."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field

from petrihub_sidecars.checkpointer.manifest import Manifest, described, sha256_of
from petrihub_sidecars.checkpointer.tree import Folder, Walk

ADDED, CHANGED, DELETED, PARENT, TWIN = "added", "changed", "deleted", "parent", "twin"
WHITEOUT = b".wh."
NOT_READABLE, RESERVED_NAME = "not-readable", "reserved-name"

_TELL_EVERY = 2000  # entries


@dataclass(slots=True)
class Item:
    """One entry of the layer. `about` is None for what was deleted.

    `kind`: also a parent (a folder that is as it was, around something that is not) or a twin (an
    unchanged name of a file whose other name is new: a layer needs all names of a file).
    `recorded`: the image has something at this path.
    """

    path: bytes
    kind: str
    about: os.stat_result | None
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A path that somebody must decide about, and why."""

    path: bytes
    pattern: str


@dataclass(slots=True)
class Changes:
    """What a comparison found; `items` in the order of a layer."""

    items: list[Item] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def in_layer_order(path: bytes) -> bytes:
    """A key that puts every folder before what is in it, and keeps that together."""
    return path.replace(b"/", b"\0")


class Comparison:
    """One comparison; `since` is a time (ns) from which on a changed ctime means a look inside.

    Whatever looks as it was and has an older ctime was not touched: the kernel alone sets it.
    """

    def __init__(self, walk: Walk, manifest: Manifest, since: int) -> None:
        self._walk = walk
        self._manifest = manifest
        self._since = since
        self._changes: dict[bytes, Item] = {}
        self._folders: dict[bytes, os.stat_result] = {b"/": os.stat(".", dir_fd=walk.root_fd)}
        self._names: dict[tuple[int, int], list[tuple[bytes, os.stat_result]]] = {}
        self._findings: list[Finding] = []
        self._reserved: set[bytes] = set()
        self._deletions: dict[bytes, list[bytes]] = {}

    def run(self, progress: Callable[[int], None] = lambda _: None) -> Changes:
        """The changes; raises `TooDeep`."""
        seen = told = 0
        for folder in self._walk:
            self._folder(folder)
            seen += len(folder.entries)
            if seen - told >= _TELL_EVERY:
                told = seen
                progress(seen)
        progress(seen)
        self._settle_closed()
        for gone in self._deletions.values():
            for path in gone:
                self._changes[path] = Item(path, DELETED, None, recorded=True)
        self._add_twins()
        self._add_parents()
        items = sorted(self._changes.values(), key=lambda item: in_layer_order(item.path))
        self._findings.sort(key=lambda finding: finding.path)
        return Changes(items, self._findings)

    def _folder(self, folder: Folder) -> None:
        before = b"" if folder.path == b"/" else folder.path
        if folder.path in self._reserved:
            self._reserved.update(before + b"/" + name for name, _ in folder.entries)
            return  # below a name that no layer can hold
        recorded = self._manifest.entries(folder.path)
        since, untouched = self._since, described
        for name, about in folder.entries:
            path = before + b"/" + name
            if name.startswith(WHITEOUT):
                self._reserved.add(path)
                self._findings.append(Finding(path, RESERVED_NAME))
                continue
            was = recorded.pop(name, None)
            if stat.S_ISDIR(about.st_mode):
                self._folders[path] = about
            elif about.st_nlink > 1:
                self._names.setdefault((about.st_dev, about.st_ino), []).append((path, about))
            if was is None:
                self._changes[path] = Item(path, ADDED, about)
            elif was[0] != untouched(about) or (
                about.st_ctime_ns >= since and self._differs(folder, name, about, was[1])
            ):
                self._changes[path] = Item(path, CHANGED, about, recorded=True)
        gone = [before + b"/" + name for name in recorded]
        if gone := [path for path in gone if not self._walk.leaves_out(path)]:
            self._deletions[folder.path] = gone

    def _differs(self, folder: Folder, name: bytes, about: os.stat_result, content: bytes) -> bool:
        """Whether an entry that looks as it was is another; what cannot be read cannot be told."""
        try:
            if stat.S_ISLNK(about.st_mode):
                return os.readlink(name, dir_fd=folder.fd) != content
            if stat.S_ISFIFO(about.st_mode):
                return False
            fd = os.open(
                name,
                os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
                dir_fd=folder.fd,
            )
        except PermissionError:
            return about.st_uid == os.geteuid()  # nobody else's can have been changed
        except OSError:
            return True  # it went; the layer's writer will see
        try:
            if user_attributes(fd):
                return True
            return stat.S_ISREG(about.st_mode) and sha256_of(fd) != content
        finally:
            os.close(fd)

    def _settle_closed(self) -> None:
        """Folders that cannot be read: what is in them is as it was, unless it is the person's."""
        for path in self._walk.closed:
            self._deletions.pop(path, None)
            about = self._folders.get(path)
            if path in self._changes or (about and about.st_uid == os.geteuid()):
                self._findings.append(Finding(path, NOT_READABLE))

    def _add_twins(self) -> None:
        for names in self._names.values():
            if any(path in self._changes for path, _ in names):
                for path, about in names:
                    self._changes.setdefault(path, Item(path, TWIN, about, recorded=True))

    def _add_parents(self) -> None:
        for path in list(self._changes):
            folder = path.rpartition(b"/")[0]
            while folder and folder not in self._changes:
                self._changes[folder] = Item(folder, PARENT, self._folders[folder], recorded=True)
                folder = folder.rpartition(b"/")[0]


def user_attributes(fd: int) -> dict[bytes, bytes]:
    """The `user.*` attributes of an open file or folder.

    Those of `security.*` could give rights, and those of `trusted.*` and `system.*` mean something
    to one machine only.
    """
    try:
        names = [name for name in os.listxattr(fd) if name.startswith("user.")]
        return {os.fsencode(name): os.getxattr(fd, name) for name in sorted(names)}
    except OSError:
        return {}  # this filesystem keeps none
