"""What a backend must be able to do; spawners, reconciler and the contract know only this."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from petrihub_spawner.pod.model import Container, PodRef, WorkspacePod

Helper = Callable[[], Awaitable[Container | None]]  # makes a helper; None: none is needed now


@dataclass(frozen=True)
class Address:
    """Where the proxy reaches a workspace."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The address as JupyterHub takes it."""
        return f"http://{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class Look:
    """What there is of a workspace now.

    `known` is False when the backend could not be asked: then nothing may be concluded.
    """

    running: bool
    known: bool = True
    address: Address | None = None
    ended: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class Found:
    """One outside object of this deployment: a process, a container or a network.

    `handle` names this very object, never a later one of the same name.
    """

    kind: str
    handle: str
    ref: PodRef
    intent: str


def served_port(environment: Mapping[str, str]) -> int | None:
    """The port on which a program with this environment was told to answer."""
    return urlsplit(environment.get("JUPYTERHUB_SERVICE_URL", "")).port


class Journal(Protocol):
    """Where a runner says what it is about to do."""

    async def step(self, name: str, **external: str | int) -> None:
        """Note that the step called `name` comes next; outside names that are known by now."""

    async def moved(self, words: str, done: int, total: int) -> None:
        """Something large has come so far: `done` of `total` bytes, and `words` for the person.

        While it moves, the start is not late.
        """


class Runner(Protocol):
    """Runs pods of one deployment. All methods may be called again at any time."""

    can: frozenset[str]

    async def start(self, pod: WorkspacePod, journal: Journal) -> Address:
        """Run the pod and wait until it answers; what was left of an earlier start goes first.

        Raises `StartFailed` with the stage and the reason; then nothing of the pod is left.
        """

    async def stop(self, ref: PodRef, *, grace: int, journal: Journal) -> None:
        """End the workspace within about `grace` seconds and remove all of it but its volumes."""

    async def keep(self, ref: PodRef, *, grace: int, journal: Journal) -> None:
        """End the workspace's programs as `stop` does, and keep all that they have changed."""

    async def wake(self, ref: PodRef, order: str, helper: Helper, image: str) -> None:
        """Let a helper read what is kept, for this order; nothing else of the workspace runs.

        `image` is that of the helpers. Raises `NotFound` if it is not there any more.
        """

    async def look(self, ref: PodRef) -> Look:
        """What there is of the workspace now."""

    async def find(self, ref: PodRef | None = None) -> list[Found]:
        """The outside objects of a workspace, or of the whole deployment."""

    async def remove(self, found: list[Found], *, grace: int) -> None:
        """Remove exactly these objects; gone already is fine."""

    async def log_tail(self, ref: PodRef) -> str:
        """The last lines that the workspace wrote, also after it ended."""


class Silent:
    """A journal of somebody who keeps none."""

    async def step(self, name: str, **external: str | int) -> None:
        """Note nothing."""

    async def moved(self, words: str, done: int, total: int) -> None:
        """Tell nobody."""
