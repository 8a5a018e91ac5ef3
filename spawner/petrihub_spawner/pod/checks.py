"""What must hold between the parts of a pod, and which names of the environment are reserved."""

import re
from collections.abc import Iterable
from posixpath import normpath

from petrihub_core.errors import ConfigError, PetriHubError
from petrihub_spawner.pod.model import Container, WorkspacePod

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_VALUE_LIMIT = 128 * 1024  # the kernel's limit for one string of an environment
_RESERVED = re.compile(
    r"PATH|HOME|USER|SHELL|IFS|ENV|BASH_ENV|LD_.*|PYTHON(PATH|HOME|STARTUP|INSPECT)|NODE_OPTIONS"
    r"|PERL5?(LIB|OPT)|R_(PROFILE|ENVIRON).*|JUPYTER.*|JPY_.*|PETRIHUB_.*|.*_PROXY",
    re.IGNORECASE,
)


def reserved(names: Iterable[str]) -> list[str]:
    """Those of `names` that only PetriHub itself may set, sorted."""
    return sorted(name for name in names if _RESERVED.fullmatch(name))


def check(pod: WorkspacePod) -> WorkspacePod:
    """The pod itself; raises `ConfigError` if its parts do not fit together."""
    names = [container.name for container in pod.containers()]
    if len(set(names)) != len(names):
        raise _wrong("two containers have the same name")
    if not 1 <= pod.door.port <= 65535:
        raise _wrong(f"port {pod.door.port} does not exist")
    if any(container.shares_processes for container in (pod.main, *pod.apps)):
        raise _wrong("only a helper can look at the processes of the main container")
    if pod.door.keeper and pod.door.keeper not in {each.name for each in pod.sidecars}:
        raise _wrong(f"there is no helper {pod.door.keeper!r} to keep the door")
    if any(container.carries for container in (pod.main, *pod.apps)):
        raise _wrong("only a helper can make mounts")
    if any(volume.remote for volume in pod.volumes) and pod.carrier is None:
        raise _wrong("there is no helper to mount what is kept elsewhere")
    volumes = {volume.name for volume in pod.volumes}
    for each in ({volume.external for volume in pod.volumes}, volumes):
        if len(each) != len(pod.volumes):
            raise _wrong("two volumes have the same name")
    for container in pod.containers():
        _check_container(container, volumes)
    return pod


def _check_container(container: Container, volumes: set[str]) -> None:
    limits = container.resources
    if limits.cpu <= 0 or limits.memory_bytes < 16 * 2**20 or limits.pids < 8:
        raise _wrong(f"the limits of {container.name!r} are too small to start anything")
    if not container.command and not container.image:
        raise _wrong(f"{container.name!r} has nothing to run")
    for mount in container.mounts:
        if mount.volume not in volumes:
            raise _wrong(f"{container.name!r} mounts {mount.volume!r}, which the pod has not")
        if not mount.path.startswith("/") or normpath(mount.path) != mount.path:
            raise _wrong(f"{container.name!r} mounts at {mount.path!r}, which is no absolute path")
    paths = [mount.path for mount in container.mounts]
    if len(set(paths)) != len(paths):
        raise _wrong(f"{container.name!r} mounts two volumes at one place")
    if set(container.environment) & set(container.secrets):
        raise _wrong(f"a variable of {container.name!r} is both open and secret")
    for source in (container.environment, container.secrets):
        for name, value in source.items():
            if not _VARIABLE.fullmatch(name):
                raise _wrong(f"{name[:40]!r} is no name for a variable")
            if "\0" in value or len(value) > _VALUE_LIMIT:
                raise _wrong(f"the value of {name} cannot be passed to a program")


def _wrong(what: str) -> PetriHubError:
    return ConfigError(
        f"This workspace cannot be planned: {what}.",
        hint="Tell the administrator: the profile or the app descriptors need mending.",
    )
