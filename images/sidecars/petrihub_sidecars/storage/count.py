"""Counts how much is in a folder: `python count.py FOLDER`; one line of JSON on standard output.

The folder is somebody's who may make it as they like, also while it is counted: no link is ever
followed, no other file system entered, nothing but folders opened, and there is an end to how
deep, how wide and how long. Only the standard library: on one machine without containers this very
file runs by itself.
"""

import json
import os
import resource
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

SECONDS = 120.0
DEEPEST = 1000  # folders in each other; an open file for each is needed
MOST_REMEMBERED = 2_000_000  # folders yet to visit, and files with several names
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass
class Count:
    """What was counted. `size_bytes` are those that take room on the disk, also of folders;
    `files` are all but folders, each once. `partial`: there is more.
    """

    size_bytes: int = 0
    files: int = 0
    partial: bool = False


@dataclass
class _Counter:
    device: int
    until: float
    clock: Callable[[], float]
    count: Count = field(default_factory=Count)
    seen: set[int] = field(default_factory=set)  # files with several names, by number
    waiting: int = 0

    def take(self, entry: "os.DirEntry[str]") -> bool:
        """Count an entry; whether it is a folder to visit."""
        try:
            about = entry.stat(follow_symlinks=False)
        except OSError:
            return False  # it went away
        if about.st_dev != self.device:
            return False
        if stat.S_ISDIR(about.st_mode):
            self.count.size_bytes += about.st_blocks * 512
            return True
        if about.st_nlink > 1:
            if about.st_ino in self.seen:
                return False
            if len(self.seen) >= MOST_REMEMBERED:
                self.count.partial = True
                return False
            self.seen.add(about.st_ino)
        self.count.files += 1
        self.count.size_bytes += about.st_blocks * 512
        return False

    def read(self, folder: int) -> list[str]:
        """Count what is in an open folder; the folders in it."""
        inner: list[str] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if self.clock() > self.until:
                        self.count.partial = True
                        break
                    if self.take(entry):
                        if self.waiting < MOST_REMEMBERED:
                            inner.append(entry.name)
                            self.waiting += 1
                        else:
                            self.count.partial = True
        except OSError:
            self.count.partial = True
        return inner

    def enter(self, name: str, folder: int) -> int | None:
        """The folder of this name, opened; None if it cannot be, or is not one any more."""
        try:
            inner = os.open(name, _FOLDER, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError:
            self.count.partial = True
            return None
        if os.fstat(inner).st_dev != self.device:
            os.close(inner)
            return None
        return inner


def count(
    folder: str, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
) -> Count:
    """Count what is in `folder` and in all folders below it; raises `OSError` if it is none."""
    root = os.open(folder, _FOLDER)
    counter = _Counter(os.fstat(root).st_dev, clock() + seconds, clock)
    stack = [(root, counter.read(root))]
    try:
        while stack:
            folder_fd, inner = stack[-1]
            if not inner or clock() > counter.until:
                counter.count.partial |= bool(inner)
                os.close(stack.pop()[0])
                continue
            counter.waiting -= 1
            name = inner.pop()
            if len(stack) >= DEEPEST:
                counter.count.partial = True
                continue
            opened = counter.enter(name, folder_fd)
            if opened is not None:
                stack.append((opened, counter.read(opened)))
    finally:
        for each, _ in stack:
            os.close(each)
    return counter.count


def main() -> None:
    """Count one folder, as the last of all programs to get the processor."""
    os.nice(19)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DEEPEST + 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if most < 0 else min(most, wanted), most))
    print(json.dumps(vars(count(sys.argv[1]))))  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
