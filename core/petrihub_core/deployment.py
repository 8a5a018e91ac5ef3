"""What is fixed at start, read from `petrihub.toml` into one validated model.

An unknown key, a wrong type or a missing file stops the start with file, line, key and what is
allowed. This is the only module that looks at the environment for settings.
"""

import ipaddress
import os
import secrets
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from petrihub_core.addresses import Address, FrontSection, Section
from petrihub_core.carriers import VOLUME, StorageSection
from petrihub_core.database_address import DatabaseSection, database_address
from petrihub_core.errors import ConfigError
from petrihub_core.files import write_whole
from petrihub_core.toml_lines import line_of
from petrihub_core.tools import ToolSection

CONFIG_VARIABLE = "PETRIHUB_CONFIG"
BOOT_VARIABLE = "PETRIHUB_BOOT"
HUB_PROCESS_VARIABLE = "PETRIHUB_HUB_PROCESS"  # the hub's process id, for what ends with it
NUMBER_VARIABLE = "PETRIHUB_HUB_NUMBER"  # of the hub's lease, for what the hub starts

_Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
GroupNames = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")], ...], Field(max_length=100)
]


class DockerSection(Section):
    """How workspaces run on a Docker engine."""

    socket: str = Field(
        "",
        description=(
            "Path of the engine's socket. Empty: DOCKER_HOST, else the engine's usual place."
        ),
    )
    network_pool: ipaddress.IPv4Network = Field(
        ipaddress.IPv4Network("10.213.0.0/16"),
        description="Addresses from which each workspace gets a network of its own (16 addresses).",
    )
    hub_subnet: ipaddress.IPv4Network | None = Field(
        None,
        description=(
            "The network on whose gateway the hub listens for the workspaces. "
            "Empty: one out of network_pool, chosen once."
        ),
    )
    pids_limit: int = Field(
        1024, ge=64, le=1_000_000, description="Most processes and threads in one workspace."
    )


class WorkspacesSection(Section):
    """Rules for all workspaces."""

    per_person: int = Field(3, ge=1, le=100, description="Most workspaces that a person may keep.")
    start_timeout: int = Field(
        180, ge=10, le=3600, description="Seconds that a start may take, besides fetching an image."
    )
    stop_grace: int = Field(
        10, ge=0, le=600, description="Seconds that tools get to save their work; 0 kills at once."
    )
    stop_on_exit: bool = Field(
        False, description="Whether workspaces stop when PetriHub itself is stopped in order."
    )


class Size(Section):
    """CPU and memory that a person may choose."""

    id: _Slug = Field(description="Short name used in addresses and records.")
    title: str = Field(max_length=64, description="Name on the start page.")
    cpu: float = Field(gt=0, le=1024, description="CPU cores; fractions are allowed.")
    memory_gib: float = Field(gt=0, le=65536, description="Memory limit in GiB.")
    groups: GroupNames = Field(
        (), description="Names of the groups that may choose it; empty: everybody."
    )


class Profile(Section):
    """A kind of workspace: an image and the sizes that it is offered in."""

    id: _Slug = Field(description="Short name used in addresses and records.")
    title: str = Field(max_length=64, description="Name on the start page.")
    description: str = Field("", max_length=500, description="What it is good for.")
    image: str = Field(
        "petrihub/bio",
        max_length=128,
        description="Name of the image, as built by `petrihub images build`. Docker only.",
    )
    sizes: tuple[str, ...] = Field(min_length=1, description="Ids of the sizes offered.")
    apps: tuple[str, ...] = Field(
        ("*",), description='Ids of the apps offered, among those that are there; "*" is all.'
    )
    groups: GroupNames = Field(
        (), description="Names of the groups that may use it; empty: everybody."
    )
    tool: ToolSection | None = Field(
        None,
        description=(
            "A table, even an empty one: the image is a tool of its own behind our sign-in "
            "instead of JupyterLab. Docker only."
        ),
    )
    save_at_stop: bool = Field(
        False,
        description=(
            "Save what was installed whenever such a workspace stops; its next start goes on "
            "from there. Docker only."
        ),
    )
    keep_saves: int = Field(
        10,
        ge=1,
        le=1000,
        description=(
            "How many of these saves are kept for each workspace. Older ones go, unless somebody "
            "runs, shares or has built on them."
        ),
    )

    def offers(self, app_id: str) -> bool:
        """Whether the app is part of this profile."""
        return "*" in self.apps or app_id in self.apps


_SIZES = (
    Size(id="small", title="Small", cpu=1, memory_gib=2),
    Size(id="medium", title="Medium", cpu=2, memory_gib=4),
    Size(id="large", title="Large", cpu=4, memory_gib=8),
)
_PROFILES = (
    Profile(
        id="bio-studio",
        title="Bio studio",
        description=(
            "Python and R notebooks, VS Code, Shiny, CELLxGENE and a Linux desktop "
            "with IGV, ImageJ and Jalview."
        ),
        image="petrihub/bio",
        sizes=("medium", "small", "large"),
    ),
    Profile(
        id="notebooks",
        title="Notebooks",
        description="JupyterLab with Python and a terminal: the lightest start.",
        image="petrihub/base",
        sizes=("small", "medium"),
        apps=(),
    ),
    Profile(
        id="cellxgene",
        title="CELLxGENE",
        description="Explore annotated single-cell data: opens the first .h5ad file of your home.",
        image="petrihub/cellxgene",
        sizes=("medium", "large"),
        tool=ToolSection(),
    ),
    Profile(
        id="shiny-explorer",
        title="Table explorer",
        description="A Shiny app: look at a CSV file of yours as table, summary and plot.",
        image="petrihub/shiny",
        sizes=("small", "medium"),
        tool=ToolSection(),
    ),
)


def require_sizes_and_profiles_fit(sizes: tuple[Size, ...], profiles: tuple[Profile, ...]) -> None:
    """Raise `ValueError` for an id given twice, or a profile with a size that there is not."""
    for kind, ids in (
        ("sizes", [size.id for size in sizes]),
        ("profiles", [profile.id for profile in profiles]),
    ):
        if len(set(ids)) != len(ids):
            raise ValueError(f"two {kind} have the same id")
    known = {size.id for size in sizes}
    for profile in profiles:
        for size in profile.sizes:
            if size not in known:
                raise ValueError(
                    f"profile {profile.id!r} offers size {size!r}, which is not in [[sizes]]"
                )


class Deployment(Section):
    """Everything that is fixed while PetriHub runs."""

    name: str = Field("PetriHub", max_length=64, description="Name shown on the pages.")
    backend: Literal["local", "docker"] = Field(
        "local", description="Where workspaces run: processes of this machine, or containers."
    )
    parts: Literal["together", "apart"] = Field(
        "together",
        description=(
            "together: the hub starts proxy and portal, as with `petrihub up`. "
            "apart: each runs by itself, as in deploy/compose."
        ),
    )
    state: Path = Field(
        Path(), description="Folder that holds all state; relative to this file's folder."
    )
    address: Address = Field(Address(), description="Where browsers reach PetriHub.")
    front: FrontSection = Field(FrontSection(), description="HTTPS before the routing proxy.")
    database: DatabaseSection = Field(DatabaseSection(), description="Our own tables.")
    docker: DockerSection = Field(DockerSection(), description="The Docker engine.")
    workspaces: WorkspacesSection = Field(WorkspacesSection(), description="Rules for workspaces.")
    storage: StorageSection = Field(StorageSection(), description="Where files are kept.")
    sizes: tuple[Size, ...] = Field(_SIZES, description="CPU and memory choices.")
    profiles: tuple[Profile, ...] = Field(_PROFILES, description="Kinds of workspaces.")

    @model_validator(mode="after")
    def _ids_fit(self) -> Self:
        require_sizes_and_profiles_fit(self.sizes, self.profiles)
        return self

    @model_validator(mode="after")
    def _can_carry(self) -> Self:
        if self.backend == "local" and self.storage.carrier != VOLUME:
            raise ValueError(
                f"[storage] carrier {self.storage.carrier!r} needs containers: the local backend "
                'keeps files on this machine. Set backend = "docker", or carrier = "volume"'
            )
        return self

    @cached_property
    def id(self) -> str:
        """Ten random letters and digits that mark what belongs to this deployment; kept in state.

        Raises `ConfigError` if the state folder cannot be written.
        """
        path = self.state / "deployment-id"
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                write_whole(path, secrets.token_hex(5) + "\n")
            return path.read_text().strip()
        except OSError as exc:
            raise ConfigError(
                f"The state folder {self.state} cannot be used: {exc.strerror}.",
                hint="Choose another with --state, or give this account the right to write there.",
            ) from exc

    @property
    def database_url(self) -> str:
        """Where our tables are, with the password from its file."""
        return self._database("url") or f"sqlite+aiosqlite:///{self.state / 'petrihub.sqlite'}"

    @property
    def portal_database_url(self) -> str:
        """The same tables, with the role that the portal connects with."""
        return self._database("url", user=self.database.portal_user) or self.database_url

    @property
    def hub_database_url(self) -> str:
        """Where JupyterHub's own tables are, with the password from its file."""
        return self._database("hub_url") or f"sqlite:///{self.state / 'jupyterhub.sqlite'}"

    def _database(self, setting: Literal["url", "hub_url"], user: str = "") -> str:
        return database_address(self.database, setting, self.state, user=user)

    @property
    def public_url(self) -> str:
        """The address to open in a browser, without a slash at the end."""
        front = self.front
        if front.kind == "none":
            return f"http://{self.address.host}:{self.address.port}"
        port = "" if front.https_port == 443 else f":{front.https_port}"
        return f"https://{front.domain}{port}"

    @property
    def proxy_address(self) -> tuple[str, int]:
        """Where the routing proxy listens, as host and port: behind Caddy it moves to loopback."""
        host = "127.0.0.1" if self.front.kind == "caddy" else self.address.host
        return host, self.address.port

    @property
    def proxy_url(self) -> str:
        """Where the routing proxy listens, as an address without a slash at the end."""
        host, port = self.proxy_address
        return f"http://{host}:{port}"

    @property
    def certificate_file(self) -> Path:
        """The certificate and key in force, for the front; PEM, readable by this account only."""
        return self.state / "front" / "certificate.pem"

    @property
    def homes(self) -> Path:
        """Home folders of the local backend, one per person id."""
        return self.state / "homes"

    @property
    def logs(self) -> Path:
        """Logs of the hub and of the workspaces."""
        return self.state / "logs"

    @property
    def secrets(self) -> Path:
        """Keys, readable by this account only."""
        return self.state / "secrets"

    @property
    def environments(self) -> Path:
        """Python environments of the workspaces on the local backend."""
        return self.state / "environments"

    def size(self, size_id: str) -> Size | None:
        """The size with this id."""
        return next((size for size in self.sizes if size.id == size_id), None)

    def profile(self, profile_id: str) -> Profile | None:
        """The profile with this id."""
        return next((profile for profile in self.profiles if profile.id == profile_id), None)


def _explain(path: Path, text: str, exc: ValidationError) -> ConfigError:
    lines = []
    for error in exc.errors():
        where = ".".join(str(part) for part in error["loc"])
        line = line_of(text, error["loc"])
        at = f"{path}:{line}" if line else str(path)
        what = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            what = f"there is no such setting. Allowed here: {', '.join(_siblings(error['loc']))}"
        lines.append(f"{at}: {where or 'the file'}: {what}")
    return ConfigError(
        "The configuration is not usable.\n" + "\n".join(lines),
        hint="Every setting is described in docs/reference/configuration.md.",
    )


def _siblings(loc: tuple[int | str, ...]) -> list[str]:
    """The settings that are allowed in the section where `loc` points."""
    model: type[BaseModel] = Deployment
    for part in loc[:-1]:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        inner = getattr(annotation, "__args__", (annotation,))[0]
        model = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else model
    return sorted(model.model_fields)


def read_deployment(path: Path | None = None) -> Deployment:
    """The deployment described by `path`, else by the file that `PETRIHUB_CONFIG` names.

    Raises `ConfigError` with file, line, key and what is allowed.
    """
    chosen = path or (Path(os.environ[CONFIG_VARIABLE]) if CONFIG_VARIABLE in os.environ else None)
    if chosen is None:
        raise ConfigError(
            "No configuration file was named.",
            hint=f"Give its path with --config, or in the variable {CONFIG_VARIABLE}.",
        )
    try:
        text = chosen.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(
            f"{chosen}: the configuration file cannot be read: {exc.strerror}.",
            hint="`petrihub up` writes a first one; --config names another.",
        ) from exc
    except UnicodeDecodeError as exc:
        raise _not_toml(chosen, exc) from exc
    return parse_deployment(text, chosen)


def parse_deployment(text: str, path: Path) -> Deployment:
    """The deployment that `text` describes, as if it stood in the file `path`.

    Raises `ConfigError` with file, line, key and what is allowed.
    """
    try:
        deployment = Deployment.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        raise _not_toml(path, exc) from exc
    except ValidationError as exc:
        raise _explain(path, text, exc) from exc
    state = (path.resolve().parent / deployment.state).resolve()
    return deployment.model_copy(update={"state": state})


def _not_toml(path: Path, exc: Exception) -> ConfigError:
    return ConfigError(
        f"{path}: this is not valid TOML: {exc}.",
        hint="Correct the line, then run `petrihub config check`.",
    )
