"""What the start page offers: profiles, their sizes, apps and usual start time."""

from collections.abc import Mapping
from dataclasses import dataclass

from petrihub_core.apps import AppDescriptor
from petrihub_core.deployment import Deployment, Profile
from petrihub_core.intents import Intents
from petrihub_core.records import WorkspaceImage
from petrihub_core.web import size_words
from petrihub_spawner.planner import image_apps, image_problem, local_apps, studio_problem


@dataclass(frozen=True, kw_only=True)
class SizeOffer:
    """One size; `words` are like "2 CPU cores, 4 GiB memory", `usual` like "usually about 9 s"."""

    id: str
    title: str
    words: str
    estimate_seconds: float | None
    usual: str


@dataclass(frozen=True, kw_only=True)
class AppOffer:
    """An app of a profile; `unavailable` is the reason in words, or empty."""

    id: str
    title: str
    summary: str
    icon: str
    unavailable: str


@dataclass(frozen=True, kw_only=True)
class ProfileOffer:
    """One card of the start page; `problem` says why it cannot be started, or is empty.

    `estimate_seconds` is that of the first size with a measured start.
    """

    id: str
    title: str
    description: str
    apps: tuple[AppOffer, ...]
    sizes: tuple[SizeOffer, ...]
    estimate_seconds: float | None
    problem: str


@dataclass(frozen=True, kw_only=True)
class Offer:
    """The start page's content; `profile` and `size` are what was chosen last, or the first."""

    profiles: tuple[ProfileOffer, ...]
    profile: str
    size: str
    limits_enforced: bool
    limits_words: str


async def make_offer(
    deployment: Deployment,
    intents: Intents,
    images: Mapping[str, WorkspaceImage],
    catalog: tuple[AppDescriptor, ...],
    chosen: Mapping[str, str],
) -> Offer:
    """What `deployment` offers now; `chosen` are the last choices, which may be outdated."""
    profiles = []
    for profile in deployment.profiles:
        sizes = [await _size(profile, size, deployment, intents) for size in profile.sizes]
        measured = [size.estimate_seconds for size in sizes if size.estimate_seconds is not None]
        profiles.append(
            ProfileOffer(
                id=profile.id,
                title=profile.title,
                description=profile.description,
                apps=_apps(profile, deployment, images, catalog),
                sizes=tuple(sizes),
                estimate_seconds=measured[0] if measured else None,
                problem=_problem(profile, deployment, images),
            )
        )
    picked = next((p for p in profiles if p.id == chosen.get("profile")), profiles[0])
    size = next((s for s in picked.sizes if s.id == chosen.get("size")), picked.sizes[0])
    enforced = deployment.backend != "local"
    return Offer(
        profiles=tuple(profiles),
        profile=picked.id,
        size=size.id,
        limits_enforced=enforced,
        limits_words=""
        if enforced
        else "Workspaces run as programs of this machine: sizes are advice, not limits.",
    )


def _problem(profile: Profile, deployment: Deployment, images: Mapping[str, WorkspaceImage]) -> str:
    if deployment.backend == "local":
        return studio_problem(deployment)
    return image_problem(profile.image, images)


def _apps(
    profile: Profile,
    deployment: Deployment,
    images: Mapping[str, WorkspaceImage],
    catalog: tuple[AppDescriptor, ...],
) -> tuple[AppOffer, ...]:
    if deployment.backend == "local":
        apps = local_apps(catalog, profile, deployment)
    elif profile.image in images:
        apps = image_apps(images[profile.image], profile)
    else:
        apps = ()
    return tuple(
        AppOffer(
            id=app.id,
            title=app.title,
            summary=app.summary,
            icon=app.icon,
            unavailable=app.unavailable,
        )
        for app in apps
    )


async def _size(
    profile: Profile, size_id: str, deployment: Deployment, intents: Intents
) -> SizeOffer:
    size = deployment.size(size_id)
    if size is None:
        raise KeyError(size_id)  # Deployment has checked that its profiles' sizes exist
    seconds = await intents.start_seconds(profile.id, size.id)
    return SizeOffer(
        id=size.id,
        title=size.title,
        words=size_words(size.cpu, size.memory_gib),
        estimate_seconds=seconds,
        usual="" if seconds is None else f"usually about {max(1, round(seconds))} s",
    )
