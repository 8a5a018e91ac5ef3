"""A pod to calls of the Docker engine: a network, volumes and containers.

Network and volumes are arguments of docker-py, containers are bodies of the engine's own API.
"""

from dataclasses import dataclass
from typing import Any

from petrihub_core.names import external_name
from petrihub_core.places import Kind
from petrihub_spawner.pod.model import (
    CARRIER_LABEL,
    DEPLOYMENT_LABEL,
    PERSON_LABEL,
    Container,
    Mount,
    WorkspacePod,
)

Body = dict[str, Any]

USER = "1000:1000"
HOME = str(Kind.HOME)
_LOG = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}}
_OOM_SCORE = 500  # the kernel ends user code before hub, proxy and database
_SHARED_MEMORY_LIMIT = 2**30
_FUSE = {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rw"}
_CPU_SHARES = 256  # for each processor; hub and database have 1024, and so come first


# where the carrier of remote volumes makes its mounts, and where the others read how they are
PLACES_PATH = "/mnt/places"
STATES_PATH = "/mnt/.petrihub"
_STATES = ".petrihub"
_USUAL_ROOT = "/var/lib/docker"
_SECOND = 10**9  # in the engine's unit


@dataclass(frozen=True)
class DockerCalls:
    """What to create, each container with its name; first the one whose network it is.

    `folders` are the places, as seen by the main container, that are to be its user's own: the
    engine makes a volume root's, unless the image has a folder at the same place. `carrier` comes
    before all of them, and must be ready before they can be created.
    """

    network: Body
    volumes: tuple[Body, ...]
    containers: tuple[tuple[str, Body], ...]
    folders: tuple[str, ...] = ()
    carrier: tuple[str, Body] | None = None


def docker_calls(pod: WorkspacePod, engine_root: str = _USUAL_ROOT) -> DockerCalls:
    """The network (still without its subnet), the volumes and the containers of a pod.

    `engine_root` is the engine's data folder, which matters for remote volumes only.
    """
    return DockerCalls(
        network=_network(pod),
        volumes=tuple(
            {"name": volume.external, "labels": _volume_labels(pod, own=volume.name == HOME)}
            for volume in pod.volumes
            if not volume.remote
        )
        + (
            ({"name": places_name(pod), "labels": _volume_labels(pod, own=True)},)
            if pod.carrier
            else ()
        ),
        containers=tuple(
            (container_name(pod, container), _container(pod, container, engine_root))
            for container in sorted(pod.containers(), key=lambda each: each is not pod.keeper)
            if not container.carries
        ),
        folders=_folders(pod),
        carrier=_carrier(pod, engine_root),
    )


def places_name(pod: WorkspacePod) -> str:
    """The volume, an empty folder of the engine, below which remote volumes are mounted.

    It is never removed: who removes a folder with a mount in it may remove what is mounted.
    """
    ref = pod.ref
    return external_name("places", ref.deployment, ref.person, ref.workspace)


def container_name(pod: WorkspacePod, container: Container) -> str:
    """The outside name: the pod's for the main container, derived from it for the others."""
    if container is pod.main:
        return pod.name
    ref = pod.ref
    return external_name("ws", ref.deployment, ref.person, ref.workspace, container.name)


def hardened(pod: WorkspacePod, container: Container, engine_root: str = _USUAL_ROOT) -> Body:
    """The host configuration of every container that we make, on every path."""
    limits = container.resources
    keeper = pod.keeper
    shared = f"container:{container_name(pod, keeper)}"
    return {
        # the others share the keeper's network: apps listen on loopback only
        "NetworkMode": pod.name if container is keeper or container.carries else shared,
        "Mounts": _mounts(pod, container, engine_root),
        "Privileged": False,
        # what mounts FUSE, and nothing else; AppArmor's usual profile forbids all mounting
        "CapAdd": ["SYS_ADMIN"] if container.carries else [],
        "CapDrop": ["ALL"],
        "SecurityOpt": [
            "no-new-privileges:true",
            *(["apparmor=unconfined"] if container.carries else []),
        ],
        # the main container is started first, and what it ends, ends these too
        "PidMode": f"container:{pod.name}" if container.shares_processes else "",
        "IpcMode": "private",
        "UTSMode": "",
        "CgroupnsMode": "private",
        "Devices": [_FUSE] if container.carries else [],
        "Binds": [],
        "VolumesFrom": [],
        "PublishAllPorts": False,
        "PortBindings": {},
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,
        "CpuPeriod": 100_000,
        "CpuQuota": int(limits.cpu * 100_000),
        "CpuShares": max(2, int(limits.cpu * _CPU_SHARES)),
        "PidsLimit": limits.pids,
        "ShmSize": min(limits.memory_bytes // 4, _SHARED_MEMORY_LIMIT),
        "OomScoreAdj": _OOM_SCORE,
        "OomKillDisable": False,
        # an image of ours brings its own init (tini); see images/base
        "Init": False,
        "AutoRemove": False,
        "RestartPolicy": {
            "Name": "on-failure" if container.restarts else "no",
            "MaximumRetryCount": container.restarts,
        },
        "LogConfig": _LOG,
    }


def sealed(body: Body, image: Body) -> Body:
    """The same container, with nothing that this image would set by itself.

    `image` is the engine's description of it. Entrypoint, command, folder and the environment that
    is wanted are in the body already: they come from the image below the checkpoint.
    """
    set_by_us = {line.partition("=")[0] for line in body["Env"]}
    names = {str(line).partition("=")[0] for line in image["Config"].get("Env") or []}
    return {
        **body,
        # a name without a value is taken out of the environment
        "Env": [*body["Env"], *sorted(names - set_by_us)],
        "Entrypoint": body.get("Entrypoint", []),
        "Cmd": body.get("Cmd", []),
        "WorkingDir": body.get("WorkingDir", "/"),
        "StopSignal": "SIGTERM",
        "Healthcheck": {"Test": ["NONE"]},
    }


def _network(pod: WorkspacePod) -> Body:
    return {
        "name": pod.name,
        "driver": "bridge",
        "check_duplicate": True,
        "internal": False,
        "attachable": False,
        "enable_ipv6": False,
        "labels": pod.labels(),
    }


def _volume_labels(pod: WorkspacePod, *, own: bool) -> dict[str, str]:
    # a volume outlives workspaces and starts: it bears neither; what is one person's bears them
    labels = pod.labels()
    return {name: labels[name] for name in (DEPLOYMENT_LABEL, *((PERSON_LABEL,) if own else ()))}


def _folders(pod: WorkspacePod) -> tuple[str, ...]:
    here = {volume.name for volume in pod.volumes if not volume.remote}
    return tuple(
        mount.path
        for mount in pod.main.mounts
        if mount.volume in here - {HOME} and not mount.read_only
    )


def _carrier(pod: WorkspacePod, engine_root: str) -> tuple[str, Body] | None:
    carrier = pod.carrier
    if carrier is None:
        return None
    body = _container(pod, carrier, engine_root)
    # root, without any of root's rights but to mount; the engine gives rights to nobody else
    body["User"] = "0:0"
    body["Labels"] = {**pod.labels(), CARRIER_LABEL: "yes"}
    body["Healthcheck"] = {
        "Test": ["CMD", "/usr/bin/test", "-e", "/tmp/ready"],  # noqa: S108 - its own file
        "Interval": _SECOND,
        "Timeout": 10 * _SECOND,
    }
    return container_name(pod, carrier), body


def _container(pod: WorkspacePod, container: Container, engine_root: str) -> Body:
    environment = {**container.environment, **container.secrets, **pod.identity()}
    body: Body = {
        "Image": container.image,
        "Env": [f"{name}={environment[name]}" for name in sorted(environment)],
        "User": USER,
        "Labels": pod.labels(),
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "OpenStdin": False,
        "Tty": False,
        "HostConfig": hardened(pod, container, engine_root),
    }
    if container.entrypoint:
        body["Entrypoint"] = list(container.entrypoint)
    if container.command:
        body["Cmd"] = list(container.command)
    if container.working_dir:
        body["WorkingDir"] = container.working_dir
    if container is pod.keeper:
        body["Hostname"] = pod.ref.workspace
    return body


def _mounts(pod: WorkspacePod, container: Container, engine_root: str) -> list[Body]:
    mounts = [_mount(pod, mount, engine_root) for mount in container.mounts]
    if container.carries:
        # as a bind for what it mounts there to be seen, and as a volume for the engine to know
        # that the folder is in use
        mounts.append(_bind(_places(pod, engine_root), PLACES_PATH, "rshared"))
        mounts.append(_named(places_name(pod), f"{PLACES_PATH}-held", read_only=True))
    elif pod.carrier and container is pod.main:
        states = f"{_places(pod, engine_root)}/{_STATES}"
        mounts.append(_bind(states, STATES_PATH, "rslave", read_only=True))
    return mounts


def _places(pod: WorkspacePod, engine_root: str) -> str:
    return f"{engine_root}/volumes/{places_name(pod)}/_data"


def _mount(pod: WorkspacePod, mount: Mount, engine_root: str) -> Body:
    volume = pod.volume(mount.volume)
    if volume.remote:
        # the carrier mounts it read-only where it is to be; said once more here, the engine would
        # mount it anew and forget nosuid and nodev
        return _bind(f"{_places(pod, engine_root)}/{volume.name}", mount.path, "rslave")
    return _named(volume.external, mount.path, read_only=mount.read_only)


def _named(volume: str, path: str, *, read_only: bool) -> Body:
    return {"Type": "volume", "Source": volume, "Target": path, "ReadOnly": read_only}


def _bind(source: str, path: str, propagation: str, *, read_only: bool = False) -> Body:
    return {
        "Type": "bind",
        "Source": source,
        "Target": path,
        "ReadOnly": read_only,
        "BindOptions": {"Propagation": propagation},
    }
