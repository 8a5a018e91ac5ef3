"""What counts at the moment of a start, read in one look: person, menu, images, maintenance."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from petrihub_core import settings
from petrihub_core.checkpoint_access import usable
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.errors import NotAllowed
from petrihub_core.image_server import ImageServer, find_image_server
from petrihub_core.images import allowed_images, started_as
from petrihub_core.menu import Offered, offered_to
from petrihub_core.people import by_username
from petrihub_core.places import Place, places_of
from petrihub_core.records import Document, Person, WorkspaceImage
from petrihub_core.settings.pages import LimitsSettings, MaintenanceSettings, SiteSettings
from petrihub_spawner.foundation import Foundation, foundation
from petrihub_spawner.turns import usual_room


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What one person may start now. `contact` is whom to ask; empty: nobody is named.

    `starts_at_once` is how many starts, of everybody, may run at the same time. `saved` are the
    checkpoints that they may continue from, `sharers` who shares those of others, by their id;
    `places` where they keep files. `started_as` says how containers of the images below
    checkpoints are started, by digest.
    """

    person: Person
    offered: Offered
    images: dict[str, WorkspaceImage]
    maintenance: MaintenanceSettings
    contact: str
    starts_at_once: int
    saved: tuple[Checkpoint, ...] = ()
    sharers: Mapping[str, str] = field(default_factory=dict)
    image_server: ImageServer | None = None
    places: tuple[Place, ...] = ()
    started_as: Mapping[str, Document] = field(default_factory=dict)


def unknown_person(username: str) -> NotAllowed:
    """The error for somebody who is at the hub, but not among our people."""
    return NotAllowed(
        f"There is no account for {username}.",
        hint="Sign out and in again, or ask the administrator.",
    )


async def circumstances_of(foundation: Foundation, username: str) -> Circumstances:
    """The circumstances of this person; raises `NotAllowed` if we do not know them."""
    deployment = foundation.deployment
    server = find_image_server(deployment)
    async with foundation.database.reading() as session:
        person = await by_username(session, username)
        if person is None:
            raise unknown_person(username)
        limits = await settings.read(session, LimitsSettings)
        saved, sharers = await usable(session, person.id) if server else ((), {})
        return Circumstances(
            person=person,
            offered=await offered_to(session, deployment, person.id),
            images={} if deployment.backend == "local" else await allowed_images(session),
            maintenance=await settings.read(session, MaintenanceSettings),
            contact=(await settings.read(session, SiteSettings)).contact,
            saved=saved,
            sharers=sharers,
            image_server=server,
            places=await places_of(session, person.id),
            started_as=await started_as(session) if server else {},
            starts_at_once=limits.starts_at_once or usual_room(),
        )


async def workspaces_limit(handler: Any) -> int:
    """How many workspaces somebody may keep, for `JupyterHub.named_server_limit_per_user`.

    JupyterHub asks with the request: what counts is whose workspaces it is about, not who asks,
    since the portal asks for others. At least 1: JupyterHub reads 0 as no limit.
    """
    about = handler.path_args[0] if handler.path_args else handler.current_user.name
    base = foundation()
    async with base.database.reading() as session:
        person = await by_username(session, about)
        if person is None:
            return base.deployment.workspaces.per_person
        return max(1, (await offered_to(session, base.deployment, person.id)).workspaces_limit)
