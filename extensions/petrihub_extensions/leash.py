"""Runs one program so that nothing of it outlives us: `python leash.py PROGRAM ARGUMENTS...`.

The parent holds our standard input. When it closes, by request or because the Jupyter server died
in whatever way, the program and all its descendants end: first asked, five seconds later killed.
The exit code is the program's, or 128 + the signal that ended it. Standard library only: it starts
in a few milliseconds and runs with `python -I -S`.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

GRACE_SECONDS = 5.0
_PR_SET_CHILD_SUBREAPER = 36


def main(argv: list[str]) -> int:
    """Runs `argv` to its end, or until standard input closes; the exit code to report."""
    if sys.platform == "linux":
        # descendants that detach come back to us instead of to pid 1, so that we can end them too
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake = _wake_on_signals()
    try:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as exc:
        sys.stderr.write(f"{argv[0]}: {exc.strerror}\n")
        return 127 if isinstance(exc, FileNotFoundError) else 126
    code = _wait(child.pid, wake)
    child.returncode = code
    _sweep(child.pid)
    return code


def _wake_on_signals() -> int:
    """A descriptor that becomes readable at SIGCHLD and SIGTERM."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    return reader


def _wait(pid: int, wake: int) -> int:
    """Waits for the program and, if it ended well, for what it left in its process group."""
    code: int | None = None
    deadline: float | None = None
    held: list[int] = [0]
    while True:
        for ended, status in _reap():
            if ended == pid:
                code = _exit_code(status)
        if code is not None and (code != 0 or deadline is not None or not _group_lives(pid)):
            return code
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select([*held, wake], [], [], timeout)
        asked = wake in readable and signal.SIGTERM in _drain(wake)
        if 0 in readable and not os.read(0, 64):
            held = []
            asked = True
        if asked and deadline is None:
            deadline = time.monotonic() + GRACE_SECONDS
            _signal_group(pid, signal.SIGTERM)
        elif deadline is not None and time.monotonic() >= deadline:
            _signal_group(pid, signal.SIGKILL)
            deadline = time.monotonic() + GRACE_SECONDS


def _drain(wake: int) -> bytes:
    with contextlib.suppress(BlockingIOError):
        return os.read(wake, 4096)
    return b""


def _reap() -> Iterator[tuple[int, int]]:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            yield pid, status


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _sweep(group: int) -> None:
    """Kills what is left, however it detached itself."""
    _signal_group(group, signal.SIGKILL)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline:
        children = _children()
        if not children:
            return
        for pid in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as listing:
            return [int(pid) for pid in listing.read().split()]
    except OSError:
        return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
