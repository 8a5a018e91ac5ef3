"""Start, find and stop a group of local processes as one. Blocking calls; see `LocalRunner`."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from petrihub_spawner.compile.processes import Process

_OOM_SCORE = 500  # the kernel ends user code before hub, proxy and database
_NICE = 5  # hub, proxy and database come first when the processors are all busy
_PAUSE = 0.05  # seconds between two looks
_KILL_WITHIN = 5.0  # seconds that the kernel gets to bury what was killed


def launch(process: Process, log: int) -> "subprocess.Popen[bytes]":
    """Start the process in a session of its own, so that it outlives this one."""
    child = subprocess.Popen(
        process.command,
        cwd=process.working_dir,
        env=process.environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        umask=0o077,
    )
    _yield_to_us(child.pid)
    return child


def _yield_to_us(pid: int) -> None:
    """Put the hub before this process and all that it will start."""
    with suppress(OSError):  # a child that died at once
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, pid, min(19, ours + _NICE))
    # Linux on desktops shares processors between sessions first: there the session's level counts
    for name, value in (("oom_score_adj", _OOM_SCORE), ("autogroup", _NICE)):
        with suppress(OSError):  # macOS has no such file
            Path(f"/proc/{pid}/{name}").write_text(str(value))


def alive(process: psutil.Process) -> bool:
    """Whether this very process runs; a reused process id is not mistaken for it."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def bearing(marks: Mapping[str, str]) -> list[tuple[psutil.Process, dict[str, str]]]:
    """Living processes that were started with all of `marks` in their environment, oldest first."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            environment = process.environ()
            if marks.items() <= environment.items() and alive(process):
                found.append((process.create_time(), process, environment))
    found.sort(key=lambda item: (item[0], item[1].pid))
    return [(process, environment) for _, process, environment in found]


def listens(process: psutil.Process, port: int) -> bool:
    """Whether the process or one of its children listens on this TCP port."""
    with suppress(psutil.Error):
        for member in (process, *process.children(recursive=True)):
            for connection in member.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return True
    return False


def end(leader: psutil.Process | None, members: Iterable[psutil.Process], grace: float) -> None:
    """Ask the leader's group to end, wait up to `grace` seconds, then kill whatever is left."""
    everyone = {process.pid: process for process in members}
    if leader is not None:
        everyone[leader.pid] = leader
        with suppress(psutil.Error):
            everyone |= {child.pid: child for child in leader.children(recursive=True)}
        _signal_group(leader, signal.SIGTERM)
        if grace > 0 and alive(leader):
            _until_dead([leader], grace)
    left = [process for process in everyone.values() if alive(process)]
    for process in left:
        with suppress(psutil.Error):
            process.kill()  # psutil compares the start time: never a stranger with an old number
    _until_dead(left, _KILL_WITHIN)


def _until_dead(processes: list[psutil.Process], timeout: float) -> None:
    # not psutil.wait_procs: it takes the exit code away from whoever started the process, and
    # waits for a zombie whose parent is busy
    deadline = time.monotonic() + timeout
    while any(alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(_PAUSE)


def _signal_group(leader: psutil.Process, number: int) -> None:
    with suppress(ProcessLookupError, psutil.Error):
        if alive(leader) and os.getpgid(leader.pid) == leader.pid:
            os.killpg(leader.pid, number)
