"""Counts volumes of a Docker engine, each in a container with nothing but the volume to read."""

import asyncio
from typing import Any

from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Unavailable
from petrihub_core.images import allowed_images
from petrihub_core.names import external_name
from petrihub_core.places import Counted
from petrihub_core.tools import SIDECARS_IMAGE
from petrihub_spawner.backends.engine import Engine, EngineRefusal, to_its_end
from petrihub_spawner.compile.docker import docker_calls
from petrihub_spawner.counting import answered
from petrihub_spawner.pod.model import (
    DEPLOYMENT_LABEL,
    Container,
    Door,
    Mount,
    PodRef,
    Resources,
    Volume,
    WorkspacePod,
)

COUNTER_LABEL = "org.petrihub.counter"
_PROGRAM = (
    *("/usr/bin/tini", "--", "/opt/petrihub/sidecars/bin/python", "-P", "-m"),
    "petrihub_sidecars.storage.count",
)
_PATH = "/place"
_LIMITS = Resources(cpu=0.5, memory_bytes=512 * 2**20, pids=16)
_GONE = (404, 409)
_PAUSE = 0.5


class DockerMeter:
    """Volumes that bear the deployment's label; in use are those mounted for writing."""

    def __init__(self, deployment: Deployment, database: Database) -> None:
        self._deployment = deployment
        self._database = database
        self._engine = Engine(deployment.docker.socket)

    async def places(self) -> dict[str, bool]:
        """The volumes of this deployment."""
        mine = {"label": f"{DEPLOYMENT_LABEL}={self._deployment.id}"}
        listed = await self._engine.ask("volumes", filters=mine)
        running = await self._engine.ask("containers", filters=mine)
        busy = {
            mount.get("Name") for each in running for mount in each["Mounts"] if mount.get("RW")
        }
        return {each["Name"]: each["Name"] in busy for each in listed["Volumes"] or []}

    async def count(self, place: str) -> Counted:
        """What is in this volume."""
        async with self._database.reading() as session:
            image = (await allowed_images(session)).get(SIDECARS_IMAGE)
        if image is None:
            raise Unavailable(
                f"The image {SIDECARS_IMAGE} is not built yet.",
                hint="Run `petrihub images build`.",
            )
        name = external_name("count", self._deployment.id, place)
        await self._remove(name)  # what an earlier life may have left
        try:
            body = self._body(place, image.digest)
            await to_its_end(self._engine.act("create_container_from_config", body, name))
            await self._engine.act("start", name)
            return await self._answer(name)
        finally:
            await to_its_end(self._remove(name))

    def _body(self, place: str, image: str) -> dict[str, Any]:
        return counter_body(self._deployment.id, place, image)

    async def _answer(self, name: str) -> Counted:
        while True:
            state = (await self._engine.ask("inspect_container", name))["State"]
            if not state["Running"]:
                break
            await asyncio.sleep(_PAUSE)
        said = await self._engine.ask("logs", name, stderr=False, tail=1)
        problem = "It ran out of memory." if state.get("OOMKilled") else ""
        return answered(bytes(said).decode(errors="replace"), problem)

    async def _remove(self, name: str) -> None:
        try:
            await self._engine.act("remove_container", name, force=True)
        except EngineRefusal as exc:
            if exc.code not in _GONE:
                raise


def counter_body(deployment: str, volume: str, image: str) -> dict[str, Any]:
    """The counter's container: hardened like all, no network, nothing that it could write to."""
    main = Container(
        name="main",
        image=image,
        entrypoint=_PROGRAM,
        command=(_PATH,),
        mounts=(Mount(volume="place", path=_PATH, read_only=True),),
        resources=_LIMITS,
    )
    pod = WorkspacePod(
        ref=PodRef(deployment=deployment, person="", workspace="count"),
        intent="",
        main=main,
        door=Door(port=1),
        volumes=(Volume(name="place", external=volume),),
        start_timeout=0,
        stop_grace=0,
    )
    [(_, body)] = docker_calls(pod).containers
    labels = {DEPLOYMENT_LABEL: deployment, COUNTER_LABEL: volume}
    closed = {"NetworkMode": "none", "ReadonlyRootfs": True, "CpuShares": 2}
    return body | {"Labels": labels, "Env": [], "HostConfig": body["HostConfig"] | closed}
