"""Storage over REST: my places, and the folders that deleted groups left."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from petrihub_core.roles import Permission
from petrihub_portal.routing import Area, Open
from petrihub_portal.storage import Usage, kept_folders, stored, usage_model
from petrihub_portal.visit import CurrentVisit

area = Area("Storage")


class PlaceModel(BaseModel):
    """A place where I keep files. `used` is null until it was counted.

    `group` is the name of the group whose folder it is, `path` where a workspace has it.
    """

    kind: Literal["home", "shared", "public"]
    title: str
    group: str | None
    path: str
    read_only: bool
    used: Usage | None


class PlacesModel(BaseModel):
    """My places: home, folders of groups by name, public."""

    places: list[PlaceModel]


class KeptModel(BaseModel):
    """The folder of a deleted group. `volume` is its name on the Docker engine.

    With a file server it is the folder there, with a bucket the beginning of the objects' names.
    """

    title: str
    deleted_at: datetime | None
    volume: str
    used: Usage | None


class KeptList(BaseModel):
    """Folders of deleted groups, newest first."""

    items: list[KeptModel]


@area.api("GET", "/my/storage", needs=Open.SIGNED_IN)
async def my_storage(visit: CurrentVisit) -> PlacesModel:
    """My home, the folders of my groups and the public one, with how much is in each."""
    deployment = visit.portal.deployment
    async with visit.portal.database.reading() as session:
        found = await stored(session, deployment, visit.me)
    places = [
        PlaceModel(
            kind=each.place.kind.value,
            title=each.title,
            group=each.place.name or None,
            path=each.where,
            read_only=each.place.read_only,
            used=usage_model(each.used),
        )
        for each in found
    ]
    return PlacesModel(places=places)


@area.api("GET", "/storage/kept", needs=Permission.GROUPS_READ)
async def kept(visit: CurrentVisit) -> KeptList:
    """The folders of deleted groups, whose files are still there."""
    async with visit.portal.database.reading() as session:
        found = await kept_folders(session, visit.portal.deployment)
    items = [
        KeptModel(
            title=each.row.title,
            deleted_at=each.row.deleted_at,
            volume=each.volume,
            used=usage_model(each.used),
        )
        for each in found
    ]
    return KeptList(items=items)
