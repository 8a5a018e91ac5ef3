"""The logs of workspaces: one bounded file each, readable after the workspace is gone."""

import os
from pathlib import Path

_LIMIT = 10 * 2**20  # bytes at which a log is cut
_KEPT = 2**20  # bytes that stay when it is cut
_HUB_LIMIT, _HUB_KEPT = 100 * 2**20, 20 * 2**20
_TAIL_BYTES = 16 * 1024
_TAIL_LINES = 60


class WorkspaceLog:
    """The log file of one workspace. All methods do short file operations."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / "workspaces" / f"{name}.log"

    def open_fresh(self) -> int:
        """An empty log as a file descriptor, for a process to append to; the caller closes it."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        return os.open(self.path, flags, 0o600)

    def write(self, text: str) -> None:
        """Replace the log by `text`."""
        descriptor = self.open_fresh()
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)

    def tail(self) -> str:
        """The last lines, or nothing if there is no log."""
        try:
            with self.path.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - _TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-_TAIL_LINES:])


def bound_all(folder: Path) -> None:
    """Cut every log of this folder that has grown over its limit: the hub's, the workspaces'."""
    _bound(folder / "hub.log", _HUB_LIMIT, _HUB_KEPT)
    for path in (folder / "workspaces").glob("*.log"):
        _bound(path, _LIMIT, _KEPT)


def _bound(path: Path, limit: int, kept: int) -> None:
    try:
        with path.open("r+b") as file:
            file.seek(0, os.SEEK_END)
            if file.tell() <= limit:
                return
            file.seek(-kept, os.SEEK_END)
            end = file.read(kept)  # not to the end: it may grow faster than it is read
            # the writer appends, so after the cut it goes on at the new end; what it writes
            # between these two calls may come before the kept part
            file.truncate(0)
            file.seek(0)
            file.write(b"[the beginning was cut off]\n" + end)
    except FileNotFoundError:
        return
