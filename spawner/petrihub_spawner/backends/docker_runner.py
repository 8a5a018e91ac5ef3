"""Runs pods as containers of a Docker engine, each pod in a network of its own."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from petrihub_core.deployment import Deployment
from petrihub_core.errors import PetriHubError
from petrihub_spawner.backends.docker_failures import ending, explained, with_log
from petrihub_spawner.backends.engine import Engine, EngineDown, EngineRefusal, EngineSilent
from petrihub_spawner.backends.networks import create_network
from petrihub_spawner.backends.readiness import wait_ready
from petrihub_spawner.compile.docker import DockerCalls, docker_calls
from petrihub_spawner.pod.model import (
    DEPLOYMENT_LABEL,
    INTENT_LABEL,
    WORKSPACE_LABEL,
    PodRef,
    WorkspacePod,
)
from petrihub_spawner.runner import Address, Found, Journal, Look, served_port
from petrihub_spawner.stages import TRY_AGAIN, Stage, StartFailed
from petrihub_spawner.workspace_log import WorkspaceLog

_TAIL = 60
_GONE = (404, 409)  # there is no such thing, or its removal is under way
_NOT_RUNNING = "It is not running."

_Result = TypeVar("_Result")


class DockerRunner:
    """Workspaces as containers; names are derived from the workspace, labels say whose they are."""

    can = frozenset({"limits", "isolation", "sidecar"})

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._engine = Engine(deployment.docker.socket)

    async def start(self, pod: WorkspacePod, journal: Journal) -> Address:
        """Make network, volumes and containers, and wait until the main one answers."""
        calls = docker_calls(pod)
        await journal.step("clear")
        stage = Stage.PREPARING
        try:
            await _to_its_end(self._clear(pod.ref))
            await journal.step("objects")
            await _to_its_end(self._create(calls))
            await journal.step("launch")
            stage = Stage.STARTING
            address = await _to_its_end(self._launch(pod, calls))
            await journal.step("ready", host=address.host)
            await self._until_ready(pod, address)
        except BaseException as exc:
            # also when the start was cancelled: nothing may be left of it
            log = await asyncio.shield(self._give_up(pod.ref, exc))
            if isinstance(exc, EngineDown | EngineSilent | EngineRefusal):
                raise explained(exc, stage, log) from exc
            if isinstance(exc, StartFailed):
                raise with_log(exc, log) from exc
            raise
        return address

    async def stop(self, ref: PodRef, *, grace: int, journal: Journal) -> None:
        """Stop and remove the containers, then the network."""
        await journal.step("end")
        await self.remove(await self.find(ref), grace=grace)

    async def look(self, ref: PodRef) -> Look:
        """The main container's state."""
        try:
            model = await self._engine.ask("inspect_container", ref.name)
        except EngineRefusal as exc:
            if exc.code == 404:
                return Look(running=False, ended=_NOT_RUNNING)
            return Look(running=False, known=False)
        except (EngineDown, EngineSilent):
            return Look(running=False, known=False)
        environment = dict(line.split("=", 1) for line in model["Config"]["Env"] if "=" in line)
        if not model["State"]["Running"]:
            return Look(running=False, ended=ending(model), environment=environment)
        return Look(
            running=True, address=_address(model, ref, environment), environment=environment
        )

    async def find(self, ref: PodRef | None = None) -> list[Found]:
        """Containers, then networks, that bear the workspace's or the deployment's labels."""
        labels = [f"{DEPLOYMENT_LABEL}={self._deployment.id}"]
        labels.append(f"{WORKSPACE_LABEL}={ref.key}" if ref else WORKSPACE_LABEL)
        containers, networks = await asyncio.gather(
            self._engine.ask("containers", all=True, filters={"label": labels}),
            self._engine.ask("networks", filters={"label": labels}),
        )
        return [self._found("container", item) for item in containers] + [
            self._found("network", item) for item in networks
        ]

    async def remove(self, found: list[Found], *, grace: int) -> None:
        """Remove exactly these containers and networks; the last lines of the logs are kept."""
        containers = [item for item in found if item.kind == "container"]
        await asyncio.gather(*(self._remove_container(item, grace) for item in containers))
        networks = [item for item in found if item.kind == "network"]
        await asyncio.gather(*(self._unless_gone("remove_network", n.handle) for n in networks))

    async def log_tail(self, ref: PodRef) -> str:
        """The last lines that the main container wrote; from our copy when it is gone."""
        try:
            return await self._logs(ref.name)
        except PetriHubError:
            return await asyncio.to_thread(self._log(ref).tail)

    async def _clear(self, ref: PodRef) -> None:
        await self.remove(await self.find(ref), grace=0)

    async def _create(self, calls: DockerCalls) -> None:
        # a container may be made before its network exists: the two slowest calls overlap
        results = await asyncio.gather(
            create_network(self._engine, self._deployment.docker.network_pool, calls.network),
            self._create_containers(calls),
            return_exceptions=True,  # both must have ended before anybody cleans up
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _create_containers(self, calls: DockerCalls) -> None:
        for volume in calls.volumes:
            await self._engine.act("create_volume", **volume)
        for name, body in calls.containers:
            await self._engine.act("create_container_from_config", body, name)

    async def _launch(self, pod: WorkspacePod, calls: DockerCalls) -> Address:
        for name, _ in calls.containers:
            await self._engine.act("start", name)
        model = await self._engine.ask("inspect_container", pod.name)
        if not model["State"]["Running"]:
            raise _ended_early(ending(model))
        host = model["NetworkSettings"]["Networks"][pod.name]["IPAddress"]
        return Address(host, pod.door.port)

    async def _until_ready(self, pod: WorkspacePod, address: Address) -> None:
        async def died() -> str:
            look = await self.look(pod.ref)
            return look.ended if look.known and not look.running else ""

        try:
            reason = await wait_ready(address, pod.door.ready_path, died, within=pod.start_timeout)
        except TimeoutError as exc:
            raise StartFailed(
                f"The workspace did not answer within {pod.start_timeout} seconds.",
                stage=Stage.STARTING,
                hint=TRY_AGAIN,
            ) from exc
        if reason:
            raise _ended_early(reason)

    async def _give_up(self, ref: PodRef, why: BaseException) -> str:
        """The last lines of the log, after everything of the workspace was removed."""
        if isinstance(why, EngineDown | EngineSilent):
            return ""  # nobody to ask; the reconciler removes it when the engine is back
        try:
            await self._clear(ref)
        except PetriHubError:
            return ""
        return await asyncio.to_thread(self._log(ref).tail)

    async def _remove_container(self, item: Found, grace: int) -> None:
        if grace > 0:
            await self._unless_gone("stop", item.handle, timeout=grace)
        else:
            await self._unless_gone("kill", item.handle)
        await self._keep_log(item)
        await self._unless_gone("remove_container", item.handle, force=True, v=True)

    async def _keep_log(self, item: Found) -> None:
        try:
            model = await self._engine.ask("inspect_container", item.handle)
            if model["Name"].lstrip("/") != item.ref.name:
                return  # of a helper, not of the workspace
            text = await self._logs(item.handle)
        except EngineRefusal:
            return
        if model["State"]["StartedAt"].startswith("0001"):
            return  # it never ran: an earlier log tells more
        await asyncio.to_thread(self._log(item.ref).write, f"{text}\n[{ending(model)}]\n")

    async def _logs(self, container: str) -> str:
        said = await self._engine.ask("logs", container, tail=_TAIL)
        return bytes(said).decode(errors="replace")

    async def _unless_gone(self, method: str, handle: str, **kwargs: Any) -> None:
        try:
            await self._engine.act(method, handle, **kwargs)
        except EngineRefusal as exc:
            if exc.code not in _GONE:
                raise

    def _found(self, kind: str, item: dict[str, Any]) -> Found:
        person, _, workspace = item["Labels"][WORKSPACE_LABEL].partition("/")
        return Found(
            kind=kind,
            handle=item["Id"],
            ref=PodRef(deployment=self._deployment.id, person=person, workspace=workspace),
            intent=item["Labels"].get(INTENT_LABEL, ""),
        )

    def _log(self, ref: PodRef) -> WorkspaceLog:
        return WorkspaceLog(self._deployment.logs, ref.name)


async def _to_its_end(work: Coroutine[Any, Any, _Result]) -> _Result:
    """The result of `work`, which goes on when we are cancelled: its calls cannot be taken back,
    and what they make must be there before it can be removed.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _address(model: dict[str, Any], ref: PodRef, environment: dict[str, str]) -> Address | None:
    network = model["NetworkSettings"]["Networks"].get(ref.name)
    port = served_port(environment)
    return Address(network["IPAddress"], port) if network and port else None


def _ended_early(reason: str) -> StartFailed:
    return StartFailed(
        f"The workspace ended before it was ready. {reason}", stage=Stage.STARTING, hint=TRY_AGAIN
    )
