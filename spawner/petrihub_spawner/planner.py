"""From a person's choices to a WorkspacePod: the only place that decides."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from petrihub_core.apps import AppDescriptor
from petrihub_core.deployment import Deployment, Profile
from petrihub_core.errors import Refused, Unavailable
from petrihub_core.image_server import ImageServer, checkpoint_reference
from petrihub_core.names import normalise_workspace
from petrihub_core.places import HOME_PATH, Place
from petrihub_core.records import Document, WorkspaceImage
from petrihub_core.tools import ToolSection
from petrihub_spawner.carrying import carried, carrier
from petrihub_spawner.choices import Choices
from petrihub_spawner.gated import (
    gate_container,
    gate_door,
    refuse_as_process,
    tool_container,
    tool_of,
    tool_problem,
)
from petrihub_spawner.panel import panel_environment
from petrihub_spawner.placing import PLACES_VARIABLE, links_json, placed
from petrihub_spawner.pod.checks import check, reserved
from petrihub_spawner.pod.model import (
    Container,
    Door,
    Mount,
    PodRef,
    Resources,
    WorkspacePod,
)
from petrihub_spawner.saving import as_its_base, checkpointers

CONTAINER_PORT = 8888
CONTAINER_HOME = HOME_PATH
APPS_VARIABLE = "PETRIHUB_APPS"
LAYOUTS_VARIABLE = "JUPYTERLAB_WORKSPACES_DIR"  # where JupyterLab keeps which tabs are open
WELCOME_VARIABLE = "PETRIHUB_WELCOME"  # folder that a new home gets a copy of

_PROGRAM = "jupyterhub-singleuser"
_REASON_LIMIT = 500  # characters of an app descriptor's `unavailable`
_SECRET_NAMES = ("JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN")
_SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")


@dataclass(frozen=True, kw_only=True)
class Request:
    """Everything that a plan depends on. `hub_environment` is what JupyterHub itself needs,
    `refused_apps` the apps that are not for this person, each with the rule in words. `places` are
    those that the person has beside the home, which everybody has. `started_as` says how containers
    of the images below checkpoints are started, by digest.
    """

    person: str
    workspace: str
    username: str
    choices: Choices
    deployment: Deployment
    images: Mapping[str, WorkspaceImage]
    catalog: tuple[AppDescriptor, ...]
    hub_environment: Mapping[str, str]
    port: int
    ready_path: str
    as_root: bool
    refused_apps: Mapping[str, str] = field(default_factory=dict)
    image_server: ImageServer | None = None
    places: tuple[Place, ...] = ()
    started_as: Mapping[str, Document] = field(default_factory=dict)


def workspace_ref(deployment: Deployment, person: str, workspace: str) -> PodRef:
    """Which workspace is meant; raises `Refused` for the unnamed one and for unusable names."""
    if not workspace:
        raise Refused(
            "Every workspace has a name of its own.",
            hint="Go to the home page, give the workspace a name and start it there.",
        )
    name = normalise_workspace(workspace)
    if name != workspace:
        raise Refused(f"A workspace cannot be called {workspace[:40]!r}.", hint=f"Use {name!r}.")
    return PodRef(deployment=deployment.id, person=person, workspace=name)


def plan(request: Request) -> WorkspacePod:
    """The pod for a request, without intent; raises in words if it cannot be had."""
    docker = request.deployment.backend == "docker"
    ref = workspace_ref(request.deployment, request.person, request.workspace)
    home = CONTAINER_HOME if docker else str(request.deployment.homes / request.person)
    door = Door(port=request.port, ready_path=request.ready_path)
    sidecars: tuple[Container, ...] = ()
    volumes, mounts = placed(ref, home, request.places if docker else ())
    tool = tool_of(request.choices.profile, request.images) if docker else None
    if tool is not None:
        main, sidecars, door = _gated(request, ref, tool)
        main = as_its_base(main, request.choices.checkpoint, request.started_as)
        main = replace(main, mounts=mounts)
        sidecars += checkpointers(request.image_server, request.images)
    elif docker:
        sidecars = checkpointers(request.image_server, request.images)
        main = _on_docker(request, mounts)
        main = as_its_base(main, request.choices.checkpoint, request.started_as)
    else:
        main = _on_this_machine(request, home)
    if docker:
        volumes = carried(volumes, main.mounts, request.deployment.storage)
    return check(
        WorkspacePod(
            ref=ref,
            intent="",
            main=main,
            door=door,
            sidecars=(*sidecars, *carrier(volumes, main.mounts, request.images)),
            start_timeout=request.deployment.workspaces.start_timeout,
            stop_grace=request.deployment.workspaces.stop_grace,
            volumes=volumes,
        )
    )


def studio_problem(deployment: Deployment) -> str:
    """Why the local backend cannot start anything yet; empty if it can."""
    if _studio(deployment).exists():
        return ""
    return "The software of the workspaces is not installed yet."


def image_problem(profile: Profile, images: Mapping[str, WorkspaceImage]) -> str:
    """Why this profile's image cannot be started; empty if it can."""
    if profile.image not in images:
        return f"The image {profile.image} is not built yet."
    return tool_problem(profile, images)


def local_apps(
    catalog: tuple[AppDescriptor, ...], profile: Profile, deployment: Deployment
) -> tuple[AppDescriptor, ...]:
    """The profile's apps; those whose programs this machine has not bear the reason."""
    path = ":".join(_local_path(deployment))
    return tuple(_judged(app, path) for app in catalog if profile.offers(app.id))


def image_apps(image: WorkspaceImage, profile: Profile) -> tuple[AppDescriptor, ...]:
    """The profile's apps among those that the image declares."""
    declared = (AppDescriptor.model_validate(app) for app in image.apps)
    return tuple(app for app in declared if profile.offers(app.id))


def forbid(
    apps: tuple[AppDescriptor, ...], refused: Mapping[str, str]
) -> tuple[AppDescriptor, ...]:
    """The same apps; those that are refused bear the rule as the reason why."""
    return tuple(
        app.model_copy(update={"unavailable": refused[app.id][:_REASON_LIMIT]})
        if refused.get(app.id)
        else app
        for app in apps
    )


def _judged(app: AppDescriptor, path: str) -> AppDescriptor:
    absent = [program for program in app.requires if shutil.which(program, path=path) is None]
    if not absent or app.unavailable:
        return app
    what = app.missing or f"{app.title} needs {' and '.join(absent)}."
    why = (
        f"{what} Ask the administrator to install it on this machine, "
        "or to run PetriHub with containers."
    )
    return app.model_copy(update={"unavailable": why})


def _studio(deployment: Deployment) -> Path:
    return deployment.environments / "studio" / "bin" / _PROGRAM


def _local_path(deployment: Deployment) -> list[str]:
    """Where a local workspace looks for programs: its studio first, other environments last."""
    studio = deployment.environments / "studio" / "bin"
    others = sorted(p for p in deployment.environments.glob("*/bin") if p != studio)
    return [str(studio), *_SYSTEM_PATH, *map(str, others)]


def _gated(
    request: Request, ref: PodRef, tool: ToolSection
) -> tuple[Container, tuple[Container, ...], Door]:
    """The tool, its gate, and the door that the gate keeps."""
    profile, environment = request.choices.profile, request.hub_environment
    _require_image(request)
    base_url = environment.get("JUPYTERHUB_SERVICE_PREFIX", "/")
    image = _image_to_run(request, request.images[profile.image])
    gate = gate_container(
        tool, profile.title, request.images, _open(environment), _secret(environment)
    )
    return (
        tool_container(tool, image, base_url, ref, _resources(request)),
        (gate,),
        gate_door(request.port, base_url, environment.get("JUPYTERHUB_API_TOKEN", "")),
    )


def _require_image(request: Request) -> None:
    problem = image_problem(request.choices.profile, request.images)
    if problem:
        raise Unavailable(
            problem, hint="Ask the administrator to run `petrihub images build`, or choose another."
        )


def _on_this_machine(request: Request, home: str) -> Container:
    refuse_as_process(request.deployment, request.choices.profile)
    problem = studio_problem(request.deployment)
    if problem:
        raise Unavailable(problem, hint="Ask the administrator to run scripts/up again.")
    apps = local_apps(request.catalog, request.choices.profile, request.deployment)
    return Container(
        name="main",
        command=(
            str(_studio(request.deployment)),
            *(("--allow-root",) if request.as_root else ()),
        ),
        environment={
            **_open(request.hub_environment),
            "HOME": home,
            "USER": request.username,
            "PATH": ":".join(_local_path(request.deployment)),
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "JUPYTERHUB_ROOT_DIR": home,
            LAYOUTS_VARIABLE: _layouts(home, request),
            WELCOME_VARIABLE: str(
                _studio(request.deployment).parents[1] / "share/petrihub/welcome"
            ),
            APPS_VARIABLE: _apps_json(forbid(apps, request.refused_apps)),
        },
        secrets=_secret(request.hub_environment),
        mounts=(Mount(volume="home", path=home),),
        resources=_resources(request),
        working_dir=home,
    )


def _on_docker(request: Request, mounts: tuple[Mount, ...]) -> Container:
    _require_image(request)
    image = request.images[request.choices.profile.image]
    apps = forbid(image_apps(image, request.choices.profile), request.refused_apps)
    return Container(
        name="main",
        image=_image_to_run(request, image),
        command=(_PROGRAM,),
        environment={
            **_open(request.hub_environment),
            "JUPYTERHUB_ROOT_DIR": CONTAINER_HOME,
            LAYOUTS_VARIABLE: _layouts(CONTAINER_HOME, request),
            APPS_VARIABLE: _apps_json(apps),
            PLACES_VARIABLE: links_json(request.places),
            **panel_environment(request.image_server, request.images),
        },
        secrets=_secret(request.hub_environment),
        mounts=mounts,
        resources=_resources(request),
        working_dir=CONTAINER_HOME,
    )


def _image_to_run(request: Request, image: WorkspaceImage) -> str:
    """The profile's image by digest, or the checkpoint on it that was chosen."""
    saved = request.choices.checkpoint
    if saved is None:
        return image.digest
    if request.image_server is None:
        raise Unavailable(
            "The image server does not run, so nothing can be continued from a checkpoint.",
            hint="Choose a fresh start, or tell the administrator.",
        )
    return checkpoint_reference(
        request.image_server, saved.owner, saved.workspace, saved.manifest_digest
    )


def _layouts(home: str, request: Request) -> str:
    # one home serves all workspaces of a person, but each has its own open tabs
    return f"{home}/.jupyter/lab/workspaces/{request.workspace}"


def _resources(request: Request) -> Resources:
    size = request.choices.size
    return Resources(
        cpu=size.cpu,
        memory_bytes=int(size.memory_gib * 2**30),
        pids=request.deployment.docker.pids_limit,
    )


def _open(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in _SECRET_NAMES}


def _secret(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: environment[name] for name in _SECRET_NAMES if name in environment}


def _apps_json(apps: tuple[AppDescriptor, ...]) -> str:
    kept = []
    for app in apps:
        forbidden = reserved(app.environment)
        if forbidden:
            why = f"{app.title} wants to set {', '.join(forbidden)}, which only PetriHub may set."
            app = app.model_copy(update={"environment": {}, "unavailable": why})  # noqa: PLW2901
        kept.append(app.model_dump(mode="json"))
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
