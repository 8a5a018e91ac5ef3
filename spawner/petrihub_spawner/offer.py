"""What the start page offers: profiles, their sizes, apps and usual start time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from petrihub_core.apps import AppDescriptor
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import rebuilt
from petrihub_core.deployment import Deployment, Profile
from petrihub_core.intents import Intents
from petrihub_core.menu import Offered, OfferedProfile, OfferedSize
from petrihub_core.records import WorkspaceImage
from petrihub_core.web import PORTAL_PREFIX, size_words
from petrihub_spawner.choices import first_profile, first_size
from petrihub_spawner.gated import process_problem, tool_icon
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
    icon: str = ""


@dataclass(frozen=True, kw_only=True)
class CheckpointOffer:
    """A saved environment to continue from; `profiles` are the ids of those that it fits.

    `words` say where and when it was saved, `older` that its base was rebuilt since, or nothing.
    """

    id: str
    name: str
    words: str
    profiles: tuple[str, ...]
    older: str = ""


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
    checkpoints: tuple[CheckpointOffer, ...] = ()
    checkpoint: str = ""


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
                icon=tool_icon(each.profile, images),
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


def with_checkpoints(
    offer: Offer,
    saved: Sequence[Checkpoint],
    offered: Offered,
    images: Mapping[str, WorkspaceImage],
    chosen: str,
    *,
    sharers: Mapping[str, str],
) -> Offer:
    """The same with the person's checkpoints; `chosen` is the id of the one chosen last.

    `sharers` says of those of others who shares them, by id.
    """
    known = tuple(_checkpoint(each, offered, images, sharers.get(each.id, "")) for each in saved)
    return replace(offer, checkpoints=known, checkpoint=chosen)


def _checkpoint(
    saved: Checkpoint, offered: Offered, images: Mapping[str, WorkspaceImage], sharer: str
) -> CheckpointOffer:
    fits = [p.profile.id for p in offered.profiles if p.profile.image == saved.base_image]
    older = (
        "Its base image was rebuilt since; it goes on with the one it was saved on. "
        "The page Checkpoints can move it onto the new one."
    )
    where = f"shared by {sharer}" if sharer else saved.workspace
    return CheckpointOffer(
        id=saved.id,
        name=saved.name,
        words=f"{where}, {saved.created_at:%Y-%m-%d %H:%M} UTC",
        profiles=tuple(fits),
        older=older if rebuilt(saved, list(images.values())) else "",
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
        return process_problem(deployment, offered.profile) or studio_problem(deployment), ""
    return image_problem(offered.profile, images), ""


def _apps(
    profile: Profile,
    deployment: Deployment,
    offered: Offered,
    images: Mapping[str, WorkspaceImage],
    catalog: tuple[AppDescriptor, ...],
) -> tuple[AppOffer, ...]:
    if deployment.backend == "local":
        apps = local_apps(catalog, profile, deployment) if profile.tool is None else ()
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
