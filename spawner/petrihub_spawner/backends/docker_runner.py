"""Runs pods as containers of a Docker engine, each pod in a network of its own."""

import asyncio
from dataclasses import replace
from typing import Any

from petrihub_core.deployment import Deployment
from petrihub_core.errors import NotFound, PetriHubError
from petrihub_core.image_server import repository_in
from petrihub_spawner.backends.docker_failures import ending, explained, with_log
from petrihub_spawner.backends.docker_keeping import Keeping
from petrihub_spawner.backends.engine import (
    Engine,
    EngineDown,
    EngineRefusal,
    EngineSilent,
    to_its_end,
)
from petrihub_spawner.backends.networks import create_network
from petrihub_spawner.backends.ownership import owned_folders
from petrihub_spawner.backends.pulling import fetch
from petrihub_spawner.backends.readiness import wait_ready
from petrihub_spawner.compile.docker import DockerCalls, container_name, docker_calls, sealed
from petrihub_spawner.pod.model import (
    CARRIER_LABEL,
    DEPLOYMENT_LABEL,
    INTENT_LABEL,
    WORKSPACE_LABEL,
    PodRef,
    WorkspacePod,
)
from petrihub_spawner.runner import Address, Found, Helper, Journal, Look, Silent, served_port
from petrihub_spawner.stages import TRY_AGAIN, Stage, StartFailed
from petrihub_spawner.workspace_log import WorkspaceLog

_TAIL = 60
_GONE = (404, 409)  # there is no such thing, or its removal is under way
_CARRIED_WITHIN = 60.0  # seconds for storage elsewhere to be mounted
_CARRIER = "carrier"
_UNMOUNT_GRACE = 5
_LOOK_EVERY = 0.25
_NOT_RUNNING = "It is not running."


class DockerRunner:
    """Workspaces as containers; names are derived from the workspace, labels say whose they are."""

    can = frozenset({"limits", "isolation", "sidecar", "keep"})

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._engine = Engine(deployment.docker.socket)
        self._keeping = Keeping(self._engine, deployment)

    async def start(self, pod: WorkspacePod, journal: Journal) -> Address:
        """Make network, volumes and containers, and wait until the main one answers."""
        calls = await self._calls(pod)
        await journal.step("clear")
        stage = Stage.PREPARING
        try:
            await to_its_end(self._clear(pod.ref))
            if repository := repository_in(pod.main.image):
                await journal.step("pull")
                await self._pull(pod.main.image, repository, journal)
                calls = await self._sealed(pod, calls)
            await journal.step("objects")
            if calls.carrier:
                await to_its_end(self._begin_carrying(calls))
                await self._until_carried(calls.carrier[0], pod.start_timeout)
            await to_its_end(self._create(calls, pod.name))
            await journal.step("launch")
            stage = Stage.STARTING
            address = await to_its_end(self._launch(pod, calls))
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

    async def keep(self, ref: PodRef, *, grace: int, journal: Journal) -> None:
        """Stop the containers; those in which something was changed, and their network, stay."""
        await journal.step("end")
        found = await self.find(ref)
        containers = [item for item in found if item.kind == "container"]
        main = await self._keeping.main(ref)
        kept = self._keeping.kept(main)
        frozen = main is not None and main["State"].get("Paused")
        if main is not None and not frozen:
            await self._unless_gone("stop", main["Id"], timeout=grace)
        for item in containers:
            if item.handle not in kept:
                await self._remove_container(item, 0)
            elif not frozen:
                await self._unless_gone("kill", item.handle)  # what keeps the door
                await self._keep_log(item)
        await self._remove_carriers(found)

    async def wake(self, ref: PodRef, order: str, helper: Helper, image: str) -> None:
        """Start main's container again, frozen, and the helper beside it."""
        main = await self._keeping.main(ref)
        if main is None:
            raise NotFound("The workspace's container is not there any more.")
        if not main["State"].get("Paused"):
            await self.keep(ref, grace=self._deployment.workspaces.stop_grace, journal=Silent())
            await self._keeping.unmount(ref, order, image, main)
            await self._keeping.revive(ref, main)
        if await self._keeping.is_helped(ref, order):
            return
        container = await helper()
        if container is not None:
            await self._keeping.help(ref, order, container, main)

    async def look(self, ref: PodRef) -> Look:
        """The main container's state, and that of the gate before it, if there is one."""
        try:
            model = await self._engine.ask("inspect_container", ref.name)
        except EngineRefusal as exc:
            if exc.code == 404:
                return Look(running=False, ended=_NOT_RUNNING)
            return Look(running=False, known=False)
        except (EngineDown, EngineSilent):
            return Look(running=False, known=False)
        if not model["State"]["Running"]:
            return Look(running=False, ended=ending(model), environment=_environment(model))
        _, shared, keeper = model["HostConfig"]["NetworkMode"].partition("container:")
        return await self._look_at_keeper(ref, keeper) if shared else _running(model, ref)

    async def _look_at_keeper(self, ref: PodRef, keeper: str) -> Look:
        """The state of the container that keeps the door of a running one."""
        try:
            model = await self._engine.ask("inspect_container", keeper)
            if model["State"]["Running"]:
                return _running(model, ref)
            said = (await self._logs(keeper)).strip().rpartition("\n")[2]
        except EngineRefusal as exc:
            if exc.code == 404:
                return Look(running=False, ended="Its sign-in is gone.")
            return Look(running=False, known=False)
        except (EngineDown, EngineSilent):
            return Look(running=False, known=False)
        ended = f"Its sign-in ended. {ending(model)} {said}".strip()
        return Look(running=False, ended=ended, environment=_environment(model))

    async def find(self, ref: PodRef | None = None) -> list[Found]:
        """Containers, then networks, that bear the workspace's or the deployment's labels."""
        labels = [f"{DEPLOYMENT_LABEL}={self._deployment.id}"]
        labels.append(f"{WORKSPACE_LABEL}={ref.key}" if ref else WORKSPACE_LABEL)
        containers, networks = await asyncio.gather(
            self._engine.ask("containers", all=True, filters={"label": labels}),
            self._engine.ask("networks", filters={"label": labels}),
        )
        return [self._found(_kind(item), item) for item in containers] + [
            self._found("network", item) for item in networks
        ]

    async def remove(self, found: list[Found], *, grace: int) -> None:
        """Remove exactly these containers and networks; the last lines of the logs are kept."""
        containers = [item for item in found if item.kind == "container"]
        await asyncio.gather(*(self._remove_container(item, grace) for item in containers))
        await self._remove_carriers(found)
        networks = [item for item in found if item.kind == "network"]
        await asyncio.gather(*(self._unless_gone("remove_network", n.handle) for n in networks))

    async def _remove_carriers(self, found: list[Found]) -> None:
        # last of all, and always in order: they take the mounts away that the others wrote to
        carriers = [item for item in found if item.kind == _CARRIER]
        await asyncio.gather(*(self._remove_container(c, _UNMOUNT_GRACE) for c in carriers))

    async def log_tail(self, ref: PodRef) -> str:
        """The last lines that the main container wrote; from our copy when it is gone."""
        try:
            return await self._logs(ref.name)
        except PetriHubError:
            return await asyncio.to_thread(self._log(ref).tail)

    async def _clear(self, ref: PodRef) -> None:
        await self.remove(await self.find(ref), grace=0)

    async def _pull(self, reference: str, repository: str, journal: Journal) -> None:
        """Bring a checkpoint to the engine, unless it is there."""
        try:
            await self._engine.ask("inspect_image", reference)
        except EngineRefusal as exc:
            if exc.code != 404:
                raise
        else:
            return
        await fetch(self._deployment, self._engine, reference, repository, journal)

    async def _sealed(self, pod: WorkspacePod, calls: DockerCalls) -> DockerCalls:
        """The same, without what the checkpoint's own configuration says of its start."""
        if not pod.main.sealed:
            return calls
        image = await self._engine.ask("inspect_image", pod.main.image)
        containers = tuple(
            (name, sealed(body, image) if name == pod.name else body)
            for name, body in calls.containers
        )
        return replace(calls, containers=containers)

    async def _calls(self, pod: WorkspacePod) -> DockerCalls:
        if pod.carrier is None:
            return docker_calls(pod)
        try:
            root = str((await self._engine.ask("info"))["DockerRootDir"])
        except (EngineDown, EngineSilent, EngineRefusal) as exc:
            raise explained(exc, Stage.PREPARING, "") from exc
        return docker_calls(pod, root)

    async def _begin_carrying(self, calls: DockerCalls) -> None:
        """Make the network and start the helper that mounts what is kept elsewhere."""
        pool = self._deployment.docker.network_pool
        await create_network(self._engine, pool, calls.network)
        await self._create_volumes(calls)
        assert calls.carrier is not None  # noqa: S101 - the caller looked
        name, body = calls.carrier
        await self._engine.act("create_container_from_config", body, name)
        await self._engine.act("start", name)

    async def _until_carried(self, carrier: str, within: float) -> None:
        """Wait until all mounts stand: nothing may be written below where they will be."""
        try:
            async with asyncio.timeout(min(within, _CARRIED_WITHIN)):
                while True:
                    state = (await self._engine.ask("inspect_container", carrier))["State"]
                    if state.get("Health", {}).get("Status") == "healthy":
                        return
                    if not state["Running"] and not state.get("Restarting"):
                        break
                    await asyncio.sleep(_LOOK_EVERY)
        except TimeoutError:
            pass
        said = (await self._logs(carrier)).strip().rpartition("\n")[2]
        raise StartFailed(
            f"The storage could not be mounted. {said}".strip(),
            stage=Stage.PREPARING,
            hint="Try again in a minute; if it stays so, tell the administrator.",
        )

    async def _create(self, calls: DockerCalls, main: str) -> None:
        # a container may be made before its network exists: the two slowest calls overlap
        pool = self._deployment.docker.network_pool
        networks = [] if calls.carrier else [create_network(self._engine, pool, calls.network)]
        results = await asyncio.gather(
            *networks,
            self._create_containers(calls, main),
            return_exceptions=True,  # both must have ended before anybody cleans up
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _create_volumes(self, calls: DockerCalls) -> None:
        for volume in calls.volumes:
            await self._engine.act("create_volume", **volume)

    async def _create_containers(self, calls: DockerCalls, main: str) -> None:
        if not calls.carrier:
            await self._create_volumes(calls)
        for name, body in calls.containers:
            await self._engine.act("create_container_from_config", body, name)
        for parent, archive in owned_folders(calls.folders):
            await self._engine.act("put_archive", main, parent, archive)

    async def _launch(self, pod: WorkspacePod, calls: DockerCalls) -> Address:
        for name, _ in calls.containers:
            await self._engine.act("start", name)
        look = await self.look(pod.ref)
        if look.known and not look.running:
            raise _ended_early(look.ended)
        model = await self._engine.ask("inspect_container", container_name(pod, pod.keeper))
        host = model["NetworkSettings"]["Networks"][pod.name]["IPAddress"]
        return Address(host, pod.door.port)

    async def _until_ready(self, pod: WorkspacePod, address: Address) -> None:
        async def died() -> str:
            look = await self.look(pod.ref)
            return look.ended if look.known and not look.running else ""

        try:
            reason = await wait_ready(address, pod.door, died, within=pod.start_timeout)
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
        if grace > 0 and not await self._keeping.is_frozen(item.handle):
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


def _kind(item: dict[str, Any]) -> str:
    return _CARRIER if CARRIER_LABEL in item["Labels"] else "container"


def _running(model: dict[str, Any], ref: PodRef) -> Look:
    environment = _environment(model)
    return Look(running=True, address=_address(model, ref, environment), environment=environment)


def _environment(model: dict[str, Any]) -> dict[str, str]:
    return dict(line.split("=", 1) for line in model["Config"]["Env"] if "=" in line)


def _address(model: dict[str, Any], ref: PodRef, environment: dict[str, str]) -> Address | None:
    network = model["NetworkSettings"]["Networks"].get(ref.name)
    port = served_port(environment)
    return Address(network["IPAddress"], port) if network and port else None


def _ended_early(reason: str) -> StartFailed:
    return StartFailed(
        f"The workspace ended before it was ready. {reason}", stage=Stage.STARTING, hint=TRY_AGAIN
    )
