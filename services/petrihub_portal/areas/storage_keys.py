"""Public keys of workspaces to storage on other machines; for the file server who may log in.

And what the file server has counted.
"""

import secrets
from typing import Annotated

from fastapi import Path
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from petrihub_core import storage_keys
from petrihub_core.carriers import FILE_SERVER_TOKEN, SFTP
from petrihub_core.places import Counted, is_known, kept, note_counted
from petrihub_core.storage_records import StorageUsage
from petrihub_portal.routing import Area, Open
from petrihub_portal.visit import CurrentVisit

area = Area("Storage keys")

_NOTHING = {"message": "There is nothing here."}
_NO_STORE = {"Cache-Control": "no-store"}


@area.page("GET", "/instances/{instance}/keys", needs=Open.EVERYBODY)
async def keys(visit: CurrentVisit, instance: Annotated[str, Path(max_length=32)]) -> Response:
    """The public keys of one start of a workspace as a JWK set; empty once it has ended."""
    async with visit.portal.database.reading() as session:
        found = await storage_keys.jwks(session, instance)
    if found is None:
        return JSONResponse({"message": "There is no such instance."}, 404, _NO_STORE)
    return JSONResponse(found, headers=_NO_STORE, media_type="application/jwk-set+json")


@area.page("GET", "/storage/logins", needs=Open.EVERYBODY)
async def logins(visit: CurrentVisit) -> Response:
    """Which key may log in to which account now; for the file server, which proves itself.

    And `kept`: the accounts of deleted groups, for which no folder may be left.
    """
    if not await _is_file_server(visit):
        return JSONResponse(_NOTHING, 404, _NO_STORE)
    async with visit.portal.database.reading() as session:
        found = await storage_keys.logins(session)
        left = [storage_keys.account_of(row.subject) for row in await kept(session)]
    said = [{"instance": e.instance, "account": e.account, "key": e.key} for e in found]
    return JSONResponse({"logins": said, "kept": left}, headers=_NO_STORE)


class FolderCount(BaseModel):
    """What is in the folder of an account; `counted` None: the folder is not there any more."""

    model_config = ConfigDict(extra="forbid", strict=True)

    account: str = Field(max_length=64)
    counted: Counted | None


@area.page("POST", "/storage/counts", needs=Open.EVERYBODY)
async def counts(visit: CurrentVisit, told: FolderCount) -> Response:
    """What the file server has counted in one folder; it proves itself as above."""
    place = storage_keys.place_of(told.account)
    if not await _is_file_server(visit) or place is None:
        return JSONResponse(_NOTHING, 404, _NO_STORE)
    async with visit.portal.database.session() as session:
        if not await is_known(session, place):
            return JSONResponse(_NOTHING, 404, _NO_STORE)
        if told.counted:
            await note_counted(session, place, told.counted)
        elif (row := await session.get(StorageUsage, place)) is not None:
            await session.delete(row)
    return Response(status_code=204, headers=_NO_STORE)


async def _is_file_server(visit: CurrentVisit) -> bool:
    deployment = visit.portal.deployment
    authorization = visit.request.headers.get("Authorization", "")
    path = deployment.secrets / FILE_SERVER_TOKEN
    if deployment.storage.carrier != SFTP:
        return False
    try:
        expected = path.read_text().strip()
    except FileNotFoundError:
        return False  # nobody has copied its token yet
    offered = authorization.removeprefix("Bearer ")
    return bool(expected) and secrets.compare_digest(offered.encode(), expected.encode())
