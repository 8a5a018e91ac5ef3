"""What the checkpointer's tests share: trees that can be compared, and a reader of layers.

The reader is Python's tarfile with the rules of the OCI image layer specification; it shares no
line with the writer.
"""

import hashlib
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from petrihub_sidecars.checkpointer.compare import Changes, Comparison
from petrihub_sidecars.checkpointer.findings import Detector
from petrihub_sidecars.checkpointer.job import Subject
from petrihub_sidecars.checkpointer.manifest import Manifest
from petrihub_sidecars.checkpointer.pack import Packed, Packer
from petrihub_sidecars.checkpointer.record import record
from petrihub_sidecars.checkpointer.tree import MANIFEST_PATH, Opener, Walk

MANIFEST = os.fsdecode(MANIFEST_PATH).lstrip("/")


def inventory(root: Path, *, times: bool = True) -> dict[bytes, tuple[Any, ...]]:
    """Everything of a tree that a checkpoint keeps; hard links by the first of their names."""
    found: dict[bytes, tuple[Any, ...]] = {}
    firsts: dict[tuple[int, int], bytes] = {}
    top = os.fsencode(root)
    for folder, folders, names in os.walk(top):
        folders.sort()
        for name in sorted([*folders, *names]):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, top)
            if relative == os.fsencode(MANIFEST):
                continue
            found[relative] = _about(path, relative, firsts, times=times)
    return found


def _about(path: bytes, relative: bytes, firsts: dict, *, times: bool) -> tuple[Any, ...]:
    about = os.lstat(path)
    owner = (about.st_uid, about.st_gid)
    if stat.S_ISLNK(about.st_mode):
        return ("link", *owner, os.readlink(path))
    # a program's set-user-id is dropped on purpose
    mode = stat.S_IMODE(about.st_mode) & (0o3777 if stat.S_ISDIR(about.st_mode) else 0o1777)
    if not stat.S_ISREG(about.st_mode):
        return (stat.S_IFMT(about.st_mode), *owner, mode)
    first = firsts.setdefault((about.st_dev, about.st_ino), relative)
    with open(path, "rb") as file:
        content = hashlib.sha256(file.read()).hexdigest()
    extra = {n: os.getxattr(path, n) for n in os.listxattr(path) if n.startswith("user.")}
    moment = about.st_mtime_ns // 10**9 if times else 0
    return ("file", *owner, mode, moment, content, first, extra)


def apply(layer: Path, root: Path) -> None:
    """Unpack a layer over a tree as the specification says."""
    with tarfile.open(layer, "r:gz") as tar:
        for entry in tar:
            path = root / entry.name
            folder, name = path.parent, path.name
            assert not folder.is_symlink(), entry.name
            if name.startswith(".wh."):
                _remove(folder / name.removeprefix(".wh."))
                continue
            if path.is_symlink() or (path.exists() and not (path.is_dir() and entry.isdir())):
                _remove(path)
            tar.extract(entry, root, filter="fully_trusted")
            for key, value in entry.pax_headers.items():
                if key.startswith("SCHILY.xattr."):
                    os.setxattr(path, key.removeprefix("SCHILY.xattr."), os.fsencode(value))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@dataclass
class Bench:
    """A base tree with its manifest, a copy of it that a person works in, and what /proc shows."""

    folder: Path
    base: Path = field(init=False)
    root: Path = field(init=False)

    def __post_init__(self) -> None:
        self.base = self.folder / "base"
        self.root = self.folder / "process" / "root"
        self.base.mkdir(parents=True)

    def record(self) -> None:
        """Make the base an image, and let the person's container begin as a copy of it."""
        record(self.base, frozenset())
        self.root.parent.mkdir()
        copy_tree(self.base, self.root)
        # the copy is the base's extraction: its manifest is what was extracted last
        (self.root / MANIFEST).unlink()
        shutil.copy2(self.base / MANIFEST, self.root / MANIFEST)
        (self.root.parent / "mountinfo").write_text("1 0 0:1 / / rw - overlay overlay rw\n")
        (self.root.parent / "environ").write_text("PATH=/usr/bin\0")

    @property
    def subject(self) -> Subject:
        return Subject(self.root.parent)

    def compare(self, mounts: frozenset[bytes] = frozenset()) -> Changes:
        with self.subject.opened() as fd, (self.root / MANIFEST).open("rb") as file:
            manifest = Manifest.read(file.fileno())
            since = os.fstat(file.fileno()).st_ctime_ns
            return Comparison(Walk(fd, mounts), manifest, since).run()

    def pack(self, changes: Changes, detector: Detector | None = None) -> Packed:
        spool = self.folder / "spool"
        spool.mkdir(exist_ok=True)
        with self.subject.opened() as fd, opener(fd) as opened:
            return Packer(opened, detector or Detector(), spool).pack(changes)

    def restored(self, packed: Packed) -> Path:
        """The layer over a fresh copy of the base."""
        target = self.folder / "restored"
        shutil.rmtree(target, ignore_errors=True)
        copy_tree(self.base, target)
        apply(packed.layer.path, target)
        return target


class opener:  # noqa: N801 - used like a function
    def __init__(self, root: int) -> None:
        self._opener = Opener(root)

    def __enter__(self) -> Opener:
        return self._opener

    def __exit__(self, *_: object) -> None:
        self._opener.close()


def copy_tree(source: Path, target: Path) -> None:
    """A copy with everything, hard links and attributes too."""
    os.spawnlp(os.P_WAIT, "cp", "cp", "-a", str(source), str(target))


def entries(layer: Path) -> Iterator[tarfile.TarInfo]:
    """The entries of a layer, as tarfile reads them."""
    with tarfile.open(layer, "r:gz") as tar:
        yield from tar


def write(path: Path, text: str | bytes = "text") -> Path:
    """A file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def paths_in(packed: Packed) -> list[str]:
    """The names in a layer."""
    return [entry.name for entry in entries(packed.layer.path)]
