"""Folders that are made once for each content and never change afterwards."""

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

_KEPT_SECONDS = 24 * 3600.0


def made(store: Path, name: str, content: str, make: Callable[[Path], None]) -> Path:
    """The folder of this name and content in `store`, made by `make` unless it is there.

    It appears whole or not at all. Processes that want it at once wait for the one that makes it;
    one that wants another content does not take it away. What nobody wanted for a day is removed.
    """
    store.mkdir(parents=True, exist_ok=True)
    with (store / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = store / f"{name}-{content}"
        if not folder.exists():
            fresh = store / f"{name}.new"
            shutil.rmtree(fresh, ignore_errors=True)  # of somebody who was cut off
            make(fresh)
            fresh.rename(folder)
        os.utime(folder)
        for other in store.glob(f"{name}-*"):
            if time.time() - other.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(other)
    return folder


def lead(name: Path, folder: Path) -> None:
    """Have `name` lead to `folder`; a reader finds the old one or the new one."""
    target = os.path.relpath(folder, name.parent)
    if name.is_symlink() and os.readlink(name) == target:
        return
    if name.is_dir() and not name.is_symlink():
        shutil.rmtree(name)  # as earlier versions made it
    link = name.with_name(f".{name.name}-{os.getpid()}")  # others may do the same now
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    link.replace(name)
