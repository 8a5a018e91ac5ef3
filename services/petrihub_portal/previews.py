"""The pod that a profile gives, as each backend would run it: for reading, before it is saved.

Values of secrets are not in it: they are named only.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.apps import AppDescriptor, catalog_apps
from petrihub_core.deployment import Deployment, Profile, Size
from petrihub_core.errors import NotAllowed, NotFound, PetriHubError
from petrihub_core.images import allowed_images
from petrihub_core.menu import Menu, Offered, group_titles, judge, standing_of
from petrihub_core.people import by_username
from petrihub_core.places import Place, places_of
from petrihub_core.records import Person, WorkspaceImage
from petrihub_core.roles import Actor, Permission
from petrihub_core.web import size_words
from petrihub_spawner.choices import Choices
from petrihub_spawner.compile.docker import docker_calls
from petrihub_spawner.compile.processes import process
from petrihub_spawner.foundation import SHIPPED_APPS
from petrihub_spawner.planner import (
    APPS_VARIABLE,
    CONTAINER_PORT,
    Request,
    forbid,
    image_apps,
    local_apps,
    plan,
)
from petrihub_spawner.pod.model import WorkspacePod

SAMPLE_WORKSPACE = "preview"
_TOKEN = "JUPYTERHUB_API_TOKEN"  # noqa: S105 - the name of a variable, not a token
_MIB = 2**20

Backend = Literal["docker", "local"]
_BACKENDS: tuple[Backend, ...] = ("docker", "local")


@dataclass(frozen=True)
class Fact:
    """One property of what would run, in one or several lines."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Of what to make a preview, by ids; empty: the profile's first size, the actor."""

    profile: str
    size: str = ""
    person: str = ""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What one backend would run; `problem` says why it cannot be had, and then there are no
    facts. `here` is whether this deployment uses the backend.
    """

    backend: Backend
    here: bool
    problem: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """For whom the previews are; `refusal` is why that person could not start it, or empty."""

    person: str
    size: str
    refusal: str
    previews: tuple[Preview, ...]


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """All that the plans of one sample have in common."""

    person: Person
    choices: Choices
    offered: Offered
    images: Mapping[str, WorkspaceImage]
    catalog: tuple[AppDescriptor, ...]
    places: tuple[Place, ...]


async def preview(
    session: AsyncSession,
    deployment: Deployment,
    actor: Actor,
    menu: Menu,
    asked: Asked,
) -> Sample:
    """What was asked for of `menu`, saved or not, on every backend.

    Raises `NotFound` for what there is not, `NotAllowed` for a person whom the actor may not look
    at.
    """
    actor.require(Permission.PROFILES_READ)
    profile = menu.profile(asked.profile)
    if profile is None:
        raise NotFound("There is no such profile.", hint="Choose one of the menu's.")
    size = menu.size(asked.size or profile.sizes[0])
    if size is None or size.id not in profile.sizes:
        raise NotFound("The profile has no such size.", hint="Choose one of its own.")
    person = await _sample_person(session, actor, asked.person or actor.name)
    offered = judge(
        menu,
        await standing_of(session, person.id),
        workspaces_per_person=deployment.workspaces.per_person,
        titles=await group_titles(session, menu.group_names()),
    )
    subject = _Subject(
        person=person,
        choices=Choices(profile, size),
        offered=offered,
        images=await allowed_images(session),
        catalog=await asyncio.to_thread(catalog_apps, SHIPPED_APPS),
        places=await places_of(session, person.id),
    )
    made = [await asyncio.to_thread(_made, each, deployment, subject) for each in _BACKENDS]
    return Sample(
        person=person.username,
        size=f"{size.title} ({size_words(size.cpu, size.memory_gib)})",
        refusal=_refusal(offered, profile, size),
        previews=tuple(made),
    )


async def _sample_person(session: AsyncSession, actor: Actor, username: str) -> Person:
    if username != actor.name and Permission.PEOPLE_READ not in actor.permissions:
        raise NotAllowed(
            "You can make a preview for yourself only.",
            hint="One for somebody else needs the right to see people.",
        )
    person = await by_username(session, username) if username.isprintable() else None
    if person is None:
        raise NotFound("There is nobody with this name.", hint="Leave it empty for yourself.")
    return person


def _refusal(offered: Offered, profile: Profile, size: Size) -> str:
    seen = offered.profile(profile.id)
    chosen = seen.size(size.id) if seen else None
    return (seen.refusal if seen else "") or (chosen.refusal if chosen else "")


def _made(backend: Backend, deployment: Deployment, subject: _Subject) -> Preview:
    here = deployment.backend == backend
    try:
        pod = plan(_request(backend, deployment, subject))
        apps = _apps(backend, deployment, subject)
        facts = (_docker(pod) if backend == "docker" else _process(pod)) + _common(pod, apps)
    except PetriHubError as exc:
        return Preview(backend=backend, here=here, problem=exc.jupyterhub_message, facts=())
    return Preview(backend=backend, here=here, problem="", facts=facts)


def _request(backend: Backend, deployment: Deployment, subject: _Subject) -> Request:
    name, address = subject.person.username, f"/user/{subject.person.username}/{SAMPLE_WORKSPACE}/"
    return Request(
        person=subject.person.id,
        workspace=SAMPLE_WORKSPACE,
        username=name,
        choices=subject.choices,
        deployment=deployment.model_copy(update={"backend": backend}),
        images=subject.images,
        catalog=subject.catalog,
        hub_environment={
            "JUPYTERHUB_USER": name,
            "JUPYTERHUB_SERVICE_PREFIX": address,
            _TOKEN: "",
        },
        port=CONTAINER_PORT,
        ready_path=f"{address}api",
        as_root=os.geteuid() == 0,
        refused_apps={each.id: each.refusal for each in subject.offered.apps},
        places=subject.places,
    )


def _apps(backend: Backend, deployment: Deployment, subject: _Subject) -> tuple[AppDescriptor, ...]:
    profile = subject.choices.profile
    if backend == "docker":
        apps = image_apps(subject.images[profile.image], profile)
    else:
        apps = local_apps(subject.catalog, profile, deployment)
    return forbid(apps, {each.id: each.refusal for each in subject.offered.apps})


def _docker(pod: WorkspacePod) -> tuple[Fact, ...]:
    calls = docker_calls(pod)
    name, body = next(each for each in calls.containers if each[0] == pod.name)
    host = body["HostConfig"]
    return (
        Fact("Image", (body["Image"],)),
        Fact("Command", (" ".join(body.get("Cmd", ())) or "the image's own",)),
        Fact("Container", (name,)),
        Fact("Beside it", tuple(each.name for each in pod.sidecars) or ("nothing",)),
        Fact("User", (body["User"],)),
        Fact(
            "Limits",
            (
                f"CPU cores: {host['CpuQuota'] / host['CpuPeriod']:g}",
                f"Memory: {host['Memory'] // _MIB} MiB, no swap beyond it",
                f"Shared memory: {host['ShmSize'] // _MIB} MiB",
                f"Processes and threads: {host['PidsLimit']}",
            ),
        ),
        Fact(
            "Mounts",
            tuple(
                f"{each['Source']} at {each['Target']}{', read only' if each['ReadOnly'] else ''}"
                for each in host["Mounts"]
            ),
        ),
        Fact("Network", (f"{calls.network['name']} ({calls.network['driver']}, its own)",)),
        Fact(
            "Rights",
            (
                f"Capabilities dropped: {', '.join(host['CapDrop'])}",
                *host["SecurityOpt"],
                f"Privileged: {'yes' if host['Privileged'] else 'no'}",
            ),
        ),
        Fact("Labels", tuple(f"{key} = {value}" for key, value in sorted(body["Labels"].items()))),
    )


def _process(pod: WorkspacePod) -> tuple[Fact, ...]:
    made = process(pod)
    limits = pod.main.resources
    return (
        Fact("Command", (" ".join(made.command),)),
        Fact("Starts in", (str(made.working_dir),)),
        Fact("Folders", tuple(str(folder) for folder in made.folders)),
        Fact(
            "Limits",
            (
                f"CPU cores: {limits.cpu:g}, memory: {limits.memory_bytes // _MIB} MiB",
                "Advice only: a program of this machine cannot be held to them.",
            ),
        ),
    )


def _common(pod: WorkspacePod, apps: tuple[AppDescriptor, ...]) -> tuple[Fact, ...]:
    environment = {**pod.main.environment, **pod.identity()}
    shown = tuple(
        f"{name}={value}" for name, value in sorted(environment.items()) if name != APPS_VARIABLE
    )
    hidden = tuple(f"{name} (a secret, not shown)" for name in sorted(pod.main.secrets))
    return (
        Fact(
            "Apps",
            tuple(
                f"{app.title}: {app.unavailable}" if app.unavailable else app.title for app in apps
            )
            or ("none",),
        ),
        Fact("Environment", shown + hidden),
    )
