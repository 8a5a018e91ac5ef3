"""A pod to calls of the Docker engine: a network, volumes and containers.

Network and volumes are arguments of docker-py, containers are bodies of the engine's own API.
"""

from dataclasses import dataclass
from typing import Any

from petrihub_core.names import external_name
from petrihub_spawner.pod.model import Container, WorkspacePod

Body = dict[str, Any]

USER = "1000:1000"
_LOG = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}}
_OOM_SCORE = 500  # the kernel ends user code before hub, proxy and database
_SHARED_MEMORY_LIMIT = 2**30
_CPU_SHARES = 256  # for each processor; hub and database have 1024, and so come first


@dataclass(frozen=True)
class DockerCalls:
    """What to create, each container with its name; main first."""

    network: Body
    volumes: tuple[Body, ...]
    containers: tuple[tuple[str, Body], ...]


def docker_calls(pod: WorkspacePod) -> DockerCalls:
    """The network (still without its subnet), the volumes and the containers of a pod."""
    return DockerCalls(
        network=_network(pod),
        volumes=tuple(
            {"name": volume.external, "labels": _volume_labels(pod)} for volume in pod.volumes
        ),
        containers=tuple(
            (container_name(pod, container), _container(pod, container))
            for container in pod.containers()
        ),
    )


def container_name(pod: WorkspacePod, container: Container) -> str:
    """The outside name: the pod's for the main container, derived from it for the others."""
    if container is pod.main:
        return pod.name
    ref = pod.ref
    return external_name("ws", ref.deployment, ref.person, ref.workspace, container.name)


def hardened(pod: WorkspacePod, container: Container) -> Body:
    """The host configuration of every container that we make, on every path."""
    limits = container.resources
    main = container is pod.main
    return {
        # the others share the main container's network: apps listen on loopback only
        "NetworkMode": pod.name if main else f"container:{pod.name}",
        "Mounts": [_mount(pod, container, number) for number in range(len(container.mounts))],
        "Privileged": False,
        "CapAdd": [],
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "PidMode": "",
        "IpcMode": "private",
        "UTSMode": "",
        "CgroupnsMode": "private",
        "Devices": [],
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
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "LogConfig": _LOG,
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


def _volume_labels(pod: WorkspacePod) -> dict[str, str]:
    # a volume outlives workspaces and starts: it bears neither
    labels = pod.labels()
    return {name: labels[name] for name in labels if name.endswith((".deployment", ".person"))}


def _container(pod: WorkspacePod, container: Container) -> Body:
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
        "HostConfig": hardened(pod, container),
    }
    if container.command:
        body["Cmd"] = list(container.command)
    if container.working_dir:
        body["WorkingDir"] = container.working_dir
    if container is pod.main:
        body["Hostname"] = pod.ref.workspace
    return body


def _mount(pod: WorkspacePod, container: Container, number: int) -> Body:
    mount = container.mounts[number]
    external = next(volume.external for volume in pod.volumes if volume.name == mount.volume)
    return {
        "Type": "volume",
        "Source": external,
        "Target": mount.path,
        "ReadOnly": mount.read_only,
    }
