"""Containers that have stopped and are kept, until what was changed in them is saved.

A helper sees another container's files only through a process of it. So the container is started
again, frozen: first it is told by a file to do nothing, which our images heed, and then the engine
freezes it, which holds for any image.
"""

import asyncio
import io
import tarfile
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from petrihub_core.deployment import Deployment
from petrihub_core.errors import Unavailable
from petrihub_spawner.backends.engine import Engine, EngineRefusal
from petrihub_spawner.backends.networks import create_network
from petrihub_spawner.carrying import CARRIER
from petrihub_spawner.compile.docker import container_name, docker_calls
from petrihub_spawner.pod.model import (
    INTENT_LABEL,
    Container,
    Door,
    PodRef,
    Resources,
    WorkspacePod,
)
from petrihub_spawner.saving import CHECKPOINTER

Model = dict[str, Any]

_PLACE, _MARK = "/run", "petrihub-kept"  # see petrihub-workspace in images/base
_SHARED = "container:"
_NOTHING = Resources(cpu=1, memory_bytes=2**20, pids=1)
_HELPER = Container(name=CHECKPOINTER, resources=_NOTHING)
_TIDY = Resources(cpu=1, memory_bytes=128 * 2**20, pids=16)
_TIDY_WITHIN, _LOOK_EVERY = 60.0, 0.25  # seconds
_FREEZE_TRIES = 8


class Keeping:
    """What the Docker runner does with containers that are kept."""

    def __init__(self, engine: Engine, deployment: Deployment) -> None:
        self._engine = engine
        self._deployment = deployment

    async def main(self, ref: PodRef) -> Model | None:
        """The main container as the engine describes it; None if it is not there."""
        return await self._inspected(ref.name)

    @staticmethod
    def kept(main: Model | None) -> frozenset[str]:
        """The containers without which the main one cannot be started again, and itself."""
        if main is None:
            return frozenset()
        _, shared, keeper = main["HostConfig"]["NetworkMode"].partition(_SHARED)
        return frozenset({main["Id"], keeper} if shared else {main["Id"]})

    async def is_frozen(self, container: str) -> bool:
        """Whether the engine has frozen it, so that it cannot end by itself."""
        model = await self._inspected(container)
        return model is not None and bool(model["State"].get("Paused"))

    async def unmount(self, ref: PodRef, order: str, image: str, main: Model) -> None:
        """Take away what was mounted for main from elsewhere, so that it can be started again.

        The engine starts nothing on a mount for which nobody answers any more, which is what a
        storage helper leaves that was killed. Main sees empty folders then, and no key or
        credentials are needed. Raises `Unavailable` if it cannot be done now.
        """
        mounts = main["HostConfig"].get("Mounts") or []
        binds = {PurePosixPath(each["Source"]).name for each in mounts if each["Type"] == "bind"}
        if not binds:
            return
        tidy = Container(
            name=CARRIER,
            image=image,
            command=("mounts", "clean", *sorted(binds)),
            resources=_TIDY,
            carries=True,
        )
        root = str((await self._engine.ask("info"))["DockerRootDir"])
        calls = docker_calls(_pod(ref, order, tidy), root)
        assert calls.carrier is not None  # noqa: S101 - it carries
        name, body = calls.carrier
        body["HostConfig"]["NetworkMode"] = "none"
        for volume in calls.volumes:
            await self._engine.act("create_volume", **volume)  # somebody may have removed it
        await self._begin(name, body)
        code = await self._ended(name)
        await self._engine.act("remove_container", name, force=True)
        if code != 0:
            raise Unavailable("What was mounted in the workspace cannot be taken away.")

    async def _ended(self, name: str) -> int:
        """The exit code; -1 if it does not end."""
        try:
            async with asyncio.timeout(_TIDY_WITHIN):
                while True:
                    state = (await self._engine.ask("inspect_container", name))["State"]
                    if not state["Running"]:
                        return int(state["ExitCode"])
                    await asyncio.sleep(_LOOK_EVERY)
        except TimeoutError:
            return -1

    async def revive(self, ref: PodRef, main: Model) -> None:
        """Start the container and what keeps its network, and freeze both at once."""
        await self._ensure_network(ref, main)
        for container in sorted(self.kept(main), key=lambda each: each == main["Id"]):
            if await self.is_frozen(container):
                continue
            if container == main["Id"]:
                await self._tell_to_rest(container)
            await self._engine.act("start", container)
            await self._freeze(container)

    async def _freeze(self, container: str) -> None:
        """Freeze it, or end it: what has stopped must not go on working.

        Where control groups are of version 1, the engine gives up after a quarter of a second if
        a program has no processor meanwhile: the container is at its limit, the machine busy.
        """
        for _ in range(_FREEZE_TRIES - 1):
            with suppress(EngineRefusal):
                await self._engine.act("pause", container)
                return
            await asyncio.sleep(_LOOK_EVERY)
        try:
            await self._engine.act("pause", container)
        except EngineRefusal:
            with suppress(EngineRefusal):  # it may have ended by itself
                await self._engine.act("kill", container)
            raise

    async def _ensure_network(self, ref: PodRef, main: Model) -> None:
        """Put the pod into a new network if its own is gone: `docker network prune` takes those
        of what has stopped.
        """
        _, _, keeper = main["HostConfig"]["NetworkMode"].partition(_SHARED)
        holder = await self._engine.ask("inspect_container", keeper or main["Id"])
        linked = holder["NetworkSettings"]["Networks"].get(ref.name)
        if linked and await self._inspected(linked["NetworkID"], "network"):
            return
        if await self._inspected(ref.name, "network") is None:
            network = docker_calls(_pod(ref, "", _HELPER)).network
            await create_network(self._engine, self._deployment.docker.network_pool, network)
        if linked:
            await self._engine.act(
                "disconnect_container_from_network", holder["Id"], ref.name, force=True
            )
        await self._engine.act("connect_container_to_network", holder["Id"], ref.name)

    async def _tell_to_rest(self, container: str) -> None:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            tar.addfile(tarfile.TarInfo(_MARK))
        try:
            await self._engine.act("put_archive", container, _PLACE, content.getvalue())
        except EngineRefusal as exc:
            if exc.code != 404:  # an image without that folder does not know the mark either
                raise

    async def is_helped(self, ref: PodRef, order: str) -> bool:
        """Whether the helper for this order runs."""
        model = await self._inspected(_helper_name(ref))
        return (
            model is not None
            and bool(model["State"]["Running"])
            and model["Config"]["Labels"].get(INTENT_LABEL) == order
        )

    async def help(self, ref: PodRef, order: str, helper: Container, main: Model) -> None:
        """Start this helper beside the frozen container, in the place of an earlier one."""
        name = _helper_name(ref)
        _, body = next(each for each in _calls(ref, order, helper) if each[0] == name)
        mode = main["HostConfig"]["NetworkMode"]
        network = mode if mode.startswith(_SHARED) else f"{_SHARED}{main['Id']}"
        body["HostConfig"] |= {"NetworkMode": network, "PidMode": f"{_SHARED}{main['Id']}"}
        await self._begin(name, body)

    async def _begin(self, name: str, body: Model) -> None:
        """Run this container in the place of an earlier one."""
        if await self._inspected(name) is not None:
            await self._engine.act("remove_container", name, force=True, v=True)
        await self._engine.act("create_container_from_config", body, name)
        await self._engine.act("start", name)

    async def _inspected(self, name: str, kind: str = "container") -> Model | None:
        try:
            model: Model = await self._engine.ask(f"inspect_{kind}", name)
        except EngineRefusal as exc:
            if exc.code == 404:
                return None
            raise
        return model


def _helper_name(ref: PodRef) -> str:
    return container_name(_pod(ref, "", _HELPER), _HELPER)


def _calls(ref: PodRef, order: str, helper: Container) -> tuple[tuple[str, Model], ...]:
    return docker_calls(_pod(ref, order, helper)).containers


def _pod(ref: PodRef, order: str, helper: Container) -> WorkspacePod:
    """As much of a pod as the helper needs: it is hardened as any other."""
    return WorkspacePod(
        ref=ref,
        intent=order,
        main=Container(name="main", resources=_NOTHING),
        door=Door(port=0),
        sidecars=(helper,),
        start_timeout=0,
        stop_grace=0,
    )
