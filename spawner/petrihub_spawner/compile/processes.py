"""A pod to local processes."""

from dataclasses import dataclass, field
from pathlib import Path

from petrihub_core.errors import Unsupported
from petrihub_spawner.pod.model import WorkspacePod


@dataclass(frozen=True)
class Process:
    """One program to start: argument list, the whole environment, where it starts."""

    command: tuple[str, ...]
    environment: dict[str, str] = field(repr=False)
    working_dir: Path
    folders: tuple[Path, ...]


def process(pod: WorkspacePod) -> Process:
    """The one process of a local workspace; raises `Unsupported` for what only containers can."""
    if pod.apps or pod.sidecars:
        raise Unsupported(
            "This workspace needs containers, and this PetriHub runs workspaces as processes.",
            hint="Choose another profile, or ask the administrator for the Docker backend.",
        )
    main = pod.main
    return Process(
        command=main.command,
        environment={**main.environment, **main.secrets, **pod.identity()},
        working_dir=Path(main.working_dir or "/"),
        folders=tuple(Path(mount.path) for mount in main.mounts),
    )
