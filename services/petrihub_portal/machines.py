"""The machine that this PetriHub runs on: what it has, what is used, what is promised."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil

from petrihub_core.errors import PetriHubError
from petrihub_core.images import allowed_images
from petrihub_core.records import WorkspaceImage
from petrihub_portal.context import Portal
from petrihub_portal.running import Reserved, Running, reserved

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Cores and bytes. `load` is how many programs want a core, averaged over a minute."""

    name: str
    cpus: int
    load: float
    memory_total: int
    memory_used: int
    disk_total: int
    disk_used: int
    disk_path: str


@dataclass(frozen=True, kw_only=True)
class CachedImage:
    """An image that workspaces may run; `present` None: the engine cannot be asked."""

    name: str
    digest: str
    size_bytes: int
    built_at: datetime
    present: bool | None


@dataclass(frozen=True, kw_only=True)
class EngineLook:
    """What the Docker engine says; `problem` is why it says nothing, in words."""

    problem: str = ""
    version: str = ""
    disk_bytes: int = 0
    digests: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """All that the page Machines shows; `engine` is None where workspaces are processes."""

    machine: Machine
    reserved: Reserved | None
    reserved_problem: str
    engine: EngineLook | None
    images: tuple[CachedImage, ...]


def look_at_machine(folder: Path) -> Machine:
    """This machine now; `folder` tells which disk. Does not block for longer than a disk does."""
    memory = psutil.virtual_memory()
    disk = psutil.disk_usage(str(folder))
    return Machine(
        name=os.uname().nodename,
        cpus=psutil.cpu_count() or 1,
        load=psutil.getloadavg()[0],
        memory_total=memory.total,
        memory_used=memory.total - memory.available,
        disk_total=disk.total,
        disk_used=disk.used,
        disk_path=str(folder),
    )


async def look(portal: Portal, running: Sequence[Running] | None, problem: str) -> Capacity:
    """The machine, its engine and its images; `running` None: the hub gave `problem` instead."""
    docker = portal.deployment.backend == "docker"
    machine, engine = await asyncio.gather(
        asyncio.to_thread(look_at_machine, portal.deployment.state),
        _look_at_engine(portal.deployment.docker.socket) if docker else _nothing(),
    )
    async with portal.database.reading() as session:
        promised = None if running is None else await reserved(session, running)
        images = await allowed_images(session) if docker else {}
    return Capacity(
        machine=machine,
        reserved=promised,
        reserved_problem=problem,
        engine=engine,
        images=tuple(_cached(image, engine) for image in images.values()),
    )


def _cached(image: WorkspaceImage, engine: EngineLook | None) -> CachedImage:
    known = engine is not None and not engine.problem
    return CachedImage(
        name=image.name,
        digest=image.digest,
        size_bytes=image.size_bytes,
        built_at=image.built_at,
        present=image.digest in engine.digests if known and engine else None,
    )


async def _nothing() -> None:
    return None


@lru_cache(maxsize=4)
def _engine(socket: str) -> Any:
    # the Docker client is an optional dependency
    from petrihub_spawner.backends.engine import Engine

    return Engine(socket)


async def _look_at_engine(socket: str) -> EngineLook:
    try:
        engine = _engine(socket)
        version, usage, images = await asyncio.gather(
            engine.ask("version"), engine.ask("df"), engine.ask("images")
        )
    except PetriHubError as exc:
        return EngineLook(problem=exc.jupyterhub_message)
    except ModuleNotFoundError:
        return EngineLook(problem="The Docker client is not installed: install petrihub[docker].")
    digests: set[str] = set()
    for image in images:
        digests.add(image["Id"])
        digests.update(each.partition("@")[2] for each in image.get("RepoDigests") or ())
    return EngineLook(
        version=str(version.get("Version", "")),
        disk_bytes=_disk_bytes(usage),
        digests=frozenset(digests),
    )


def _disk_bytes(usage: dict[str, Any]) -> int:
    layers = int(usage.get("LayersSize") or 0)
    written = sum(int(each.get("SizeRw") or 0) for each in usage.get("Containers") or ())
    volumes = sum(
        max(0, int((each.get("UsageData") or {}).get("Size") or 0))
        for each in usage.get("Volumes") or ()
    )
    built = sum(
        int(each.get("Size") or 0)
        for each in usage.get("BuildCache") or ()
        if not each.get("Shared")
    )
    return layers + written + volumes + built
