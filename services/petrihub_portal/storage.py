"""Where people keep files and how much is there, as the pages show it."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.carriers import S3, SFTP
from petrihub_core.deployment import Deployment
from petrihub_core.places import Kind, Place, external, kept, places_of, prefix_of, usage
from petrihub_core.records import Person
from petrihub_core.storage_records import StorageUsage

NEEDS_DOCKER = (
    "Shared folders need the Docker backend. This PetriHub runs workspaces as programs of one "
    "machine, where each person has a home and nothing else."
)


class Usage(BaseModel):
    """What was counted in a place. `files` are all but folders; `partial`: there is more."""

    size_bytes: int
    files: int
    partial: bool
    counted_at: datetime


def usage_model(row: StorageUsage | None) -> Usage | None:
    """The same for the API; None if nothing was counted yet."""
    return None if row is None else Usage.model_validate(row, from_attributes=True)


@dataclass(frozen=True)
class Stored:
    """One place of a person. `where` is its path as they see it in a workspace."""

    place: Place
    used: StorageUsage | None

    @property
    def title(self) -> str:
        """What people call it."""
        words = {Kind.HOME: "Home", Kind.PUBLIC: "Public"}
        return words.get(self.place.kind) or self.place.title

    @property
    def where(self) -> str:
        """Where the file browser of a workspace has it."""
        words = {Kind.HOME: "~", Kind.PUBLIC: "~/Public"}
        return words.get(self.place.kind) or f"~/Shared/{self.place.name}"


def shared_problem(deployment: Deployment) -> str:
    """Why groups have no folders here; empty if they have."""
    return NEEDS_DOCKER if deployment.backend == "local" else ""


async def stored(session: AsyncSession, deployment: Deployment, person: Person) -> list[Stored]:
    """The person's places that this deployment can give."""
    places = await places_of(session, person.id)
    if shared_problem(deployment):
        places = tuple(each for each in places if each.kind is Kind.HOME)
    return [Stored(each, await usage(session, each.kind, each.subject)) for each in places]


@dataclass(frozen=True)
class Kept:
    """The folder of a group that was deleted; `volume` is where its files are, see `kept_in`."""

    row: StorageUsage
    volume: str

    @property
    def used(self) -> StorageUsage | None:
        """What was counted in it, if it was."""
        return self.row if self.row.counted_at else None


async def kept_folders(session: AsyncSession, deployment: Deployment) -> list[Kept]:
    """The folders of deleted groups that are still there, newest first."""
    if shared_problem(deployment):
        return []
    rows = await kept(session)
    return [Kept(row, _outside(deployment, row.subject)) for row in rows]


def _outside(deployment: Deployment, group_id: str) -> str:
    names = {SFTP: f"groups/{group_id}", S3: f"{prefix_of(Kind.SHARED, group_id)}/"}
    return names.get(deployment.storage.carrier, external(deployment.id, Kind.SHARED, group_id))


def kept_in(deployment: Deployment) -> str:
    """What the files of a place are in, for people: the volume of a machine, or elsewhere."""
    words = {SFTP: "folder of the file server", S3: "part of the bucket"}
    return words.get(deployment.storage.carrier, "volume")
