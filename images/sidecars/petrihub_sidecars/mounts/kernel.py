"""Mounts as the kernel makes them: FUSE with our own flags, on a place that may hold a dead one."""

import ctypes
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READ_ONLY, NO_SUID, NO_DEV = 1, 2, 4
_DETACH = 2
_NO_FOLLOW = 8
_FIRST_DESCRIPTOR = 64
_LARGEST_READ = 64 * 1024  # what sshfs asks the kernel for

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def fuse(place: Path, *, name: str, read_only: bool) -> int:
    """Mount a file system that does not answer yet; the descriptor through which it shall.

    On top of what is mounted there already: whoever has that in view has the new one then.
    """
    opened = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    # high, so that no program that inherits it takes the number for something of its own
    device = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR)
    os.close(opened)
    # everybody in the workspace may come in: there is nobody but its own user
    options = (
        f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other,max_read={_LARGEST_READ}"
    )
    flags = NO_SUID | NO_DEV | (READ_ONLY if read_only else 0)
    try:
        _check(
            _libc.mount(
                name.encode(), os.fsencode(place), b"fuse.petrihub", flags, options.encode()
            ),
            f"{place} cannot be mounted",
        )
    except OSError:
        os.close(device)
        raise
    return device


def detach(place: Path) -> None:
    """Take the topmost mount away, also from those who have it in view; nothing if there is none"""
    _libc.umount2(os.fsencode(place), _DETACH | _NO_FOLLOW)


def mounted(folder: Path) -> Iterator[Path]:
    """What is mounted below the folder, the topmost first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for line in reversed(lines):
        place = Path(line.split()[4].encode().decode("unicode_escape"))
        if folder in place.parents:
            yield place


@contextmanager
def closed_after(descriptor: int) -> Iterator[int]:
    """The descriptor, which somebody else has his own copy of afterwards."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)
