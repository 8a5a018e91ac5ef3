"""Records the manifest of an image: the last step of its build.

    python3 -m petrihub_sidecars.checkpointer.record [ROOT]

Runs as root, since the manifest is of all files and nobody who works in the image may change it.
"""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from petrihub_sidecars.checkpointer import manifest
from petrihub_sidecars.checkpointer.manifest import Manifest
from petrihub_sidecars.checkpointer.tree import MANIFEST_PATH, Folder, Walk, mount_points


class _Parent:
    """The manifest of the image below this one, if it has one; what was not touched since is known.

    Only the kernel sets a ctime, so a file that looks as it was and has an older one is the same.
    """

    def __init__(self, target: Path) -> None:
        self._manifest: Manifest | None = None
        self._since = 0
        if target.exists():
            with target.open("rb") as file:
                self._manifest = Manifest.read(file.fileno())
                self._since = os.fstat(file.fileno()).st_ctime_ns

    def entries(self, folder: Folder) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Name, attributes and content of all that is in the folder now."""
        known = self._manifest.entries(folder.path) if self._manifest else {}
        for name, about in folder.entries:
            described = manifest.described(about)
            was, content = known.get(name, (b"", b""))
            if was != described or about.st_ctime_ns >= self._since:
                content = _content(folder.fd, name, about.st_mode)
            yield name, described, content


def record(root: Path, mounts: frozenset[bytes]) -> int:
    """Write the manifest of the filesystem below `root` into it; how many entries it has."""
    target = root / os.fsdecode(MANIFEST_PATH).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    parent = _Parent(target)
    target.unlink(missing_ok=True)
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        walk = Walk(root_fd, mounts)
        folders = ((folder.path, parent.entries(folder)) for folder in walk)
        count = manifest.write(target, folders)
    finally:
        os.close(root_fd)
    if walk.closed:
        target.unlink()
        raise SystemExit(f"This folder cannot be read: {os.fsdecode(walk.closed[0])}")
    target.chmod(0o644)
    return count


def _content(folder: int, name: bytes, mode: int) -> bytes:
    if stat.S_ISLNK(mode):
        return os.readlink(name, dir_fd=folder)
    if not stat.S_ISREG(mode):
        return b""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        return manifest.sha256_of(fd)
    finally:
        os.close(fd)


def main() -> None:
    """Record the root filesystem, or the folder that is named."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "/")
    mounts = mount_points(Path("/proc/self/mountinfo").read_bytes())
    below = os.fsencode(root.resolve()).rstrip(b"/")
    inside = {place.removeprefix(below) for place in mounts if place.startswith(below + b"/")}
    count = record(root, frozenset(inside))
    print(f"recorded {count} entries")  # noqa: T201 - the build's log


if __name__ == "__main__":
    main()
