"""WorkspacePod and its parts: all that one workspace needs, frozen, before a backend is chosen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from petrihub_core.names import external_name

DEPLOYMENT_LABEL = "org.petrihub.deployment"
WORKSPACE_LABEL = "org.petrihub.workspace"
PERSON_LABEL = "org.petrihub.person"
INTENT_LABEL = "org.petrihub.intent"

DEPLOYMENT_VARIABLE = "PETRIHUB_DEPLOYMENT"
WORKSPACE_VARIABLE = "PETRIHUB_WORKSPACE"
PERSON_VARIABLE = "PETRIHUB_PERSON"
INTENT_VARIABLE = "PETRIHUB_INTENT"


@dataclass(frozen=True, kw_only=True)
class PodRef:
    """Which workspace, for as long as the person and its name exist; not which start of it."""

    deployment: str
    person: str
    workspace: str

    @property
    def key(self) -> str:
        """The workspace in records and labels: "<person id>/<workspace>"."""
        return f"{self.person}/{self.workspace}"

    @property
    def name(self) -> str:
        """The name of the workspace's outside objects; a DNS label that no other one has."""
        return external_name("ws", self.deployment, self.person, self.workspace)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a container may use at most: CPU cores, bytes of memory, processes and threads."""

    cpu: float
    memory_bytes: int
    pids: int


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Storage that outlives the pod; `external` is its name outside."""

    name: str
    external: str


@dataclass(frozen=True, kw_only=True)
class Mount:
    """Where a container sees a volume of its pod."""

    volume: str
    path: str
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Container:
    """One program of the pod. `secrets` are environment too, but are never written down."""

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    mounts: tuple[Mount, ...] = ()
    resources: Resources
    working_dir: str = ""


@dataclass(frozen=True, kw_only=True)
class Door:
    """Where the main container answers: its port, and a path that answers below 500 when ready."""

    port: int
    ready_path: str = "/"


@dataclass(frozen=True, kw_only=True)
class WorkspacePod:
    """All that one workspace needs. One network namespace; `door` is the only way in."""

    ref: PodRef
    intent: str
    main: Container
    door: Door
    start_timeout: int
    stop_grace: int
    apps: tuple[Container, ...] = ()
    sidecars: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()

    @property
    def name(self) -> str:
        """The name of the pod's outside objects."""
        return self.ref.name

    def containers(self) -> tuple[Container, ...]:
        """Main first: backends may rely on the order."""
        return (self.main, *self.apps, *self.sidecars)

    def labels(self) -> dict[str, str]:
        """What every outside object of this start carries."""
        return {
            DEPLOYMENT_LABEL: self.ref.deployment,
            WORKSPACE_LABEL: self.ref.key,
            PERSON_LABEL: self.ref.person,
            INTENT_LABEL: self.intent,
        }

    def identity(self) -> dict[str, str]:
        """The same for programs: environment that every process of the pod inherits."""
        return {
            DEPLOYMENT_VARIABLE: self.ref.deployment,
            WORKSPACE_VARIABLE: self.ref.workspace,
            PERSON_VARIABLE: self.ref.person,
            INTENT_VARIABLE: self.intent,
        }
