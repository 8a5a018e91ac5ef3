"""WorkspacePod and its parts: all that one workspace needs, frozen, before a backend is chosen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from petrihub_core.names import external_name

DEPLOYMENT_LABEL = "org.petrihub.deployment"
WORKSPACE_LABEL = "org.petrihub.workspace"
PERSON_LABEL = "org.petrihub.person"
CARRIER_LABEL = "org.petrihub.carrier"
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
class Remote:
    """Where a volume's files are when they are not on the machine that runs the pod.

    `kind` sftp: `host`, `port`, `account` and `host_key` of a file server. `kind` s3: `endpoint`,
    `region`, `bucket` and `prefix` of an object store. No secrets.
    """

    kind: str
    host: str = ""
    port: int = 0
    account: str = ""
    host_key: str = ""
    endpoint: str = ""
    region: str = ""
    bucket: str = ""
    prefix: str = ""


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Storage that outlives the pod; `external` is its name outside.

    `subject` is the id of the person or group whose it is, empty if it is everybody's; `title` is
    for people. `remote` None: the backend keeps it on its own machine.
    """

    name: str
    external: str
    subject: str = ""
    title: str = ""
    remote: Remote | None = None


@dataclass(frozen=True, kw_only=True)
class Mount:
    """Where a container sees a volume of its pod."""

    volume: str
    path: str
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Container:
    """One program of the pod. `secrets` are environment too, but are never written down.

    `entrypoint` empty: the image's own. `shares_processes`: it sees the main container's processes
    and, as the same user, through them its files; it sees nothing else of the machine. `carries`:
    it makes the mounts of the remote volumes that the others see; it is ready before they are
    made, and may mount and nothing else. `restarts`: how often it is started again after it failed.
    `sealed`: how it is started is all said here, and nothing that its image says of it counts.
    """

    name: str
    image: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    mounts: tuple[Mount, ...] = ()
    resources: Resources
    working_dir: str = ""
    shares_processes: bool = False
    carries: bool = False
    sealed: bool = False
    restarts: int = 0


@dataclass(frozen=True, kw_only=True)
class Door:
    """Where the pod answers: its port, and a path that answers below 500 when ready.

    `keeper` is the name of the container that answers there and whose network the others share;
    empty: the main one. `proof` is what only the keeper can answer with; empty: it need not.
    """

    port: int
    ready_path: str = "/"
    keeper: str = ""
    proof: str = field(default="", repr=False)


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

    @property
    def keeper(self) -> Container:
        """The container whose network it is, and which answers at the door."""
        return next((c for c in self.sidecars if c.name == self.door.keeper), self.main)

    @property
    def carrier(self) -> Container | None:
        """The helper that makes the mounts of remote volumes; None without any."""
        return next((c for c in self.sidecars if c.carries), None)

    def volume(self, name: str) -> Volume:
        """The volume that a mount names."""
        return next(volume for volume in self.volumes if volume.name == name)

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
