"""What the start page offers: profiles, their sizes, apps and usual start time."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from petrihub_core.apps import AppDescriptor
from petrihub_core.deployment import Deployment, Profile
from petrihub_core.intents import Intents
from petrihub_core.menu import Offered, OfferedProfile, OfferedSize
from petrihub_core.records import WorkspaceImage
from petrihub_core.web import PORTAL_PREFIX, size_words
from petrihub_spawner.choices import first_profile, first_size
from petrihub_spawner.planner import (
    forbid,
    image_apps,
    image_problem,
    local_apps,
    studio_problem,
)


@dataclass(frozen=True, kw_only=True)
class SizeOffer:
    """One size; `words` are like "2 CPU cores, 4 GiB memory", `usual` like "usually about 9 s".

    `refusal` is the rule by which it is not this person's; then `ask` is where to ask for it.
    """

    id: str
    title: str
    words: str
    estimate_seconds: float | None
    usual: str
    refusal: str = ""
    ask: str = ""


@dataclass(frozen=True, kw_only=True)
class AppOffer:
    """An app of a profile; `unavailable` is the reason in words, or empty.

    `ask` is where to ask for it, if that is what it takes.
    """

    id: str
    title: str
    summary: str
    icon: str
    unavailable: str
    ask: str = ""


@dataclass(frozen=True, kw_only=True)
class ProfileOffer:
    """One card of the start page; `problem` says why it cannot be started, or is empty.

    `estimate_seconds` is that of the first size with a measured start, `ask` where to ask for
    what is missing, if that is what it takes.
    """

    id: str
    title: str
    description: str
    apps: tuple[AppOffer, ...]
    sizes: tuple[SizeOffer, ...]
    estimate_seconds: float | None
    problem: str
    ask: str = ""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """The start page's content; `profile` and `size` are what was chosen last, or the first.

    `closed` says why nothing at all can be started now, or is empty.
    """

    profiles: tuple[ProfileOffer, ...]
    profile: str
    size: str
    limits_enforced: bool
    limits_words: str
    closed: str = ""


async def make_offer(
    deployment: Deployment,
    intents: Intents,
    offered: Offered,
    images: Mapping[str, WorkspaceImage],
    catalog: tuple[AppDescriptor, ...],
    chosen: Mapping[str, str],
) -> Offer:
    """What this person is offered now; `chosen` are the last choices, which may be outdated."""
    profiles = []
    for each in offered.profiles:
        sizes = [await _size(each.profile, size, intents) for size in each.sizes]
        measured = [size.estimate_seconds for size in sizes if size.estimate_seconds is not None]
        problem, ask = _problem(each, deployment, images)
        profiles.append(
            ProfileOffer(
                id=each.profile.id,
                title=each.profile.title,
                description=each.profile.description,
                apps=_apps(each.profile, deployment, offered, images, catalog),
                sizes=tuple(sizes),
                estimate_seconds=measured[0] if measured else None,
                problem=problem,
                ask=ask,
            )
        )
    picked = offered.profile(chosen.get("profile", ""))
    if picked is None or picked.refusal:
        picked = first_profile(offered)
    size = picked.size(chosen.get("size", ""))
    if size is None or size.refusal:
        size = first_size(picked)
    enforced = deployment.backend != "local"
    return Offer(
        profiles=tuple(profiles),
        profile=picked.profile.id,
        size=size.size.id,
        limits_enforced=enforced,
        limits_words=""
        if enforced
        else "Workspaces run as programs of this machine: sizes are advice, not limits.",
    )


def ask_address(kind: str, subject: str) -> str:
    """The portal's page for asking an administrator for something."""
    return f"{PORTAL_PREFIX}requests/new?{urlencode({'kind': kind, 'subject': subject})}"


def _problem(
    offered: OfferedProfile, deployment: Deployment, images: Mapping[str, WorkspaceImage]
) -> tuple[str, str]:
    """Why the profile cannot be started, and where to ask for it."""
    if offered.refusal:
        return offered.refusal, ask_address("group", offered.groups[0])
    if all(size.refusal for size in offered.sizes):
        first = offered.sizes[0]
        return first.refusal, ask_address("size", first.size.id)
    if deployment.backend == "local":
        return studio_problem(deployment), ""
    return image_problem(offered.profile.image, images), ""


def _apps(
    profile: Profile,
    deployment: Deployment,
    offered: Offered,
    images: Mapping[str, WorkspaceImage],
    catalog: tuple[AppDescriptor, ...],
) -> tuple[AppOffer, ...]:
    if deployment.backend == "local":
        apps = local_apps(catalog, profile, deployment)
    elif profile.image in images:
        apps = image_apps(images[profile.image], profile)
    else:
        apps = ()
    refused = {each.id: each.refusal for each in offered.apps}
    return tuple(
        AppOffer(
            id=app.id,
            title=app.title,
            summary=app.summary,
            icon=app.icon,
            unavailable=app.unavailable,
            ask=ask_address("app", app.id) if refused.get(app.id) else "",
        )
        for app in forbid(apps, refused)
    )


async def _size(profile: Profile, offered: OfferedSize, intents: Intents) -> SizeOffer:
    size = offered.size
    seconds = await intents.start_seconds(profile.id, size.id)
    return SizeOffer(
        id=size.id,
        title=size.title,
        words=size_words(size.cpu, size.memory_gib),
        estimate_seconds=seconds,
        usual="" if seconds is None else f"usually about {max(1, round(seconds))} s",
        refusal=offered.refusal,
        ask=ask_address("size", size.id) if offered.refusal else "",
    )
