"""Runs pods as local processes. Every blocking call goes through `asyncio.to_thread` here."""

import asyncio
import errno
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from petrihub_core.errors import Unavailable, Unsupported
from petrihub_spawner.backends import process_group
from petrihub_spawner.backends.readiness import wait_ready
from petrihub_spawner.compile.processes import Process, process
from petrihub_spawner.pod.model import (
    DEPLOYMENT_VARIABLE,
    INTENT_VARIABLE,
    PERSON_VARIABLE,
    WORKSPACE_VARIABLE,
    PodRef,
    WorkspacePod,
)
from petrihub_spawner.runner import Address, Found, Helper, Journal, Look, served_port
from petrihub_spawner.stages import (
    DISK_FULL,
    FREE_SPACE,
    TRY_AGAIN,
    Stage,
    StartFailed,
    looks_disk_full,
)
from petrihub_spawner.workspace_log import WorkspaceLog

HOST = "127.0.0.1"
_SCANS = 5
_PORT_TAKEN_SIGNS = ("address already in use", "port is already in use", "is already in use")


@dataclass
class _Main:
    """The main process of a workspace; `child` only if this hub process started it."""

    process: psutil.Process
    environment: dict[str, str]
    child: "subprocess.Popen[bytes] | None" = None


class LocalRunner:
    """Workspaces as process groups of this account. Sizes are advice, not limits.

    A workspace is known again after a restart by the environment of its processes.
    """

    can: frozenset[str] = frozenset()

    def __init__(self, deployment_id: str, logs: Path) -> None:
        self._deployment = deployment_id
        self._logs = logs
        self._mains: dict[str, _Main] = {}

    async def start(self, pod: WorkspacePod, journal: Journal) -> Address:
        """Run the pod's process and wait until it answers."""
        compiled = process(pod)
        await journal.step("clear")
        await self._clean(pod.ref, grace=0)
        try:
            await journal.step("process", port=pod.door.port)
            main = await self._launch(pod, compiled)
            await journal.step("ready", pid=main.process.pid)
            await self._until_ready(pod, main)
        except BaseException:
            # also when the start was cancelled: nothing may be left of it
            await asyncio.shield(self._clean(pod.ref, grace=0))
            raise
        return Address(HOST, pod.door.port)

    async def stop(self, ref: PodRef, *, grace: int, journal: Journal) -> None:
        """End the group, then everything else that bears the workspace's marks."""
        await journal.step("end")
        await self._clean(ref, grace=grace)

    async def keep(self, ref: PodRef, *, grace: int, journal: Journal) -> None:
        """Refused: what its programs change is on this machine's own disk."""
        raise Unsupported("Workspaces that are programs of this machine have nothing to keep.")

    async def wake(self, ref: PodRef, order: str, helper: Helper, image: str) -> None:
        """Refused likewise."""
        raise Unsupported("Workspaces that are programs of this machine have nothing to keep.")

    async def look(self, ref: PodRef) -> Look:
        """Whether the main process runs, and where it answers."""
        main = self._mains.get(ref.name) or await self._recognise(ref)
        if main is None:
            return Look(running=False, ended="It is not running.")
        if not await asyncio.to_thread(process_group.alive, main.process):
            ended = await asyncio.to_thread(_how_it_ended, main)
            return Look(running=False, ended=ended, environment=main.environment)
        return Look(running=True, address=_address(main.environment), environment=main.environment)

    async def find(self, ref: PodRef | None = None) -> list[Found]:
        """Living processes that bear the workspace's or the deployment's marks, oldest first."""
        marks = {DEPLOYMENT_VARIABLE: self._deployment} | (_marks(ref) if ref else {})
        bearing = await asyncio.to_thread(process_group.bearing, marks)
        return [
            Found(
                kind="process",
                handle=f"{process.pid}@{process.create_time()}",
                ref=PodRef(
                    deployment=self._deployment,
                    person=environment.get(PERSON_VARIABLE, ""),
                    workspace=environment.get(WORKSPACE_VARIABLE, ""),
                ),
                intent=environment.get(INTENT_VARIABLE, ""),
            )
            for process, environment in bearing
        ]

    async def remove(self, found: list[Found], *, grace: int) -> None:
        """End exactly these processes; the oldest leads the group that is asked first."""
        await asyncio.to_thread(_end_all, found, grace)

    async def log_tail(self, ref: PodRef) -> str:
        """The last lines that the workspace wrote."""
        return await asyncio.to_thread(self._log(ref).tail)

    async def _clean(self, ref: PodRef, *, grace: int) -> None:
        """End everything of the workspace; raises `Unavailable` if something cannot be ended."""
        for attempt in range(_SCANS):
            # again until nothing is found: who forks and exits during a scan is not seen by it
            found = await self.find(ref)
            if not found:
                self._mains.pop(ref.name, None)
                return
            await self.remove(found, grace=0 if attempt else grace)
        raise Unavailable("A program of this workspace cannot be ended.", hint=TRY_AGAIN)

    async def _recognise(self, ref: PodRef) -> _Main | None:
        bearing = await asyncio.to_thread(
            process_group.bearing, {DEPLOYMENT_VARIABLE: self._deployment} | _marks(ref)
        )
        if not bearing:
            return None
        # the main process is the oldest: all others were started by it
        self._mains[ref.name] = main = _Main(*bearing[0])
        return main

    async def _launch(self, pod: WorkspacePod, compiled: Process) -> _Main:
        try:
            child = await asyncio.to_thread(self._launch_now, pod.ref, compiled)
        except OSError as exc:
            raise _cannot_launch(exc) from exc
        main = _Main(psutil.Process(child.pid), compiled.environment, child)
        self._mains[pod.ref.name] = main
        return main

    def _launch_now(self, ref: PodRef, compiled: Process) -> "subprocess.Popen[bytes]":
        for folder in compiled.folders:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = self._log(ref).open_fresh()
        with open(log, "wb") as file:  # closes our copy; the process has its own
            return process_group.launch(compiled, file.fileno())

    async def _until_ready(self, pod: WorkspacePod, main: _Main) -> None:
        async def died() -> str:
            alive = await asyncio.to_thread(process_group.alive, main.process)
            return "" if alive else await asyncio.to_thread(_how_it_ended, main)

        try:
            reason = await wait_ready(
                Address(HOST, pod.door.port), pod.door, died, within=pod.start_timeout
            )
        except TimeoutError as exc:
            raise StartFailed(
                f"The workspace did not answer within {pod.start_timeout} seconds.",
                stage=Stage.STARTING,
                hint=TRY_AGAIN,
                log=await self.log_tail(pod.ref),
            ) from exc
        if reason:
            raise _ended_early(reason, pod.door.port, await self.log_tail(pod.ref))
        # somebody else may have taken the port since it was chosen, and answer in its place
        ours = await asyncio.to_thread(process_group.listens, main.process, pod.door.port)
        if not ours:
            raise _port_taken(pod.door.port, await self.log_tail(pod.ref))

    def _log(self, ref: PodRef) -> WorkspaceLog:
        return WorkspaceLog(self._logs, ref.name)


def _marks(ref: PodRef) -> dict[str, str]:
    return {PERSON_VARIABLE: ref.person, WORKSPACE_VARIABLE: ref.workspace}


def _address(environment: dict[str, str]) -> Address | None:
    port = served_port(environment)
    return Address(HOST, port) if port else None


def _end_all(found: list[Found], grace: int) -> None:
    by_workspace: dict[str, list[psutil.Process]] = {}
    for item in found:
        pid, _, created = item.handle.partition("@")
        try:
            process = psutil.Process(int(pid))
        except psutil.NoSuchProcess:
            continue
        if process.create_time() == float(created):
            by_workspace.setdefault(item.ref.key, []).append(process)
    for members in by_workspace.values():
        process_group.end(members[0], members, grace)


def _how_it_ended(main: _Main) -> str:
    code = None
    with suppress(subprocess.TimeoutExpired):
        # its first thread may have ended a moment before its last one
        code = main.child.wait(1) if main.child else None
    if code is None:
        return "It is not running."
    if code == -signal.SIGKILL:
        return "It was killed, probably because the machine ran out of memory."
    if code < 0:
        return f"It was ended by signal {-code}."
    return f"It ended with exit code {code}."


def _cannot_launch(exc: OSError) -> StartFailed:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return StartFailed(DISK_FULL, stage=Stage.PREPARING, hint=FREE_SPACE)
    return StartFailed(
        f"The workspace's program could not be started: {exc.strerror}.",
        stage=Stage.PREPARING,
        hint="Ask the administrator to look at the state folder.",
    )


def _port_taken(port: int, log: str) -> StartFailed:
    return StartFailed(
        f"Another program took port {port} of this machine.",
        stage=Stage.STARTING,
        hint="Try again: another port will be used.",
        log=log,
    )


def _ended_early(reason: str, port: int, log: str) -> StartFailed:
    lowered = log.lower()
    if looks_disk_full(log):
        return StartFailed(DISK_FULL, stage=Stage.STARTING, hint=FREE_SPACE, log=log)
    if any(sign in lowered for sign in _PORT_TAKEN_SIGNS):
        return _port_taken(port, log)
    return StartFailed(
        f"The workspace ended before it was ready. {reason}",
        stage=Stage.STARTING,
        hint=TRY_AGAIN,
        log=log,
    )
