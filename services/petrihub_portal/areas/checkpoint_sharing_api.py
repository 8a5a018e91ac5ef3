"""Sharing checkpoints as REST: the same rules as on the pages."""

from datetime import datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel

from petrihub_core import checkpoints
from petrihub_core.checkpoint_sharing import Mode, Shared, shared_with
from petrihub_portal import checkpoint_shares
from petrihub_portal.areas.checkpoints_api import CheckpointModel, model_of
from petrihub_portal.areas.sharing_api import (
    Code,
    GivenShare,
    MadeShare,
    WantedShare,
    terms,
)
from petrihub_portal.giving import Wish, open_shares
from petrihub_portal.routing import Area, Open
from petrihub_portal.visit import CurrentVisit

area = Area("Checkpoints")

Id = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]


class CheckpointShareModel(GivenShare):
    """A share of a checkpoint."""

    mode: Mode


class NewCheckpointShare(WantedShare):
    """Who may start from it. `mode`: read, or derive to let them save what they make of it."""

    mode: Mode


class StartedFrom(BaseModel):
    """Somebody else's workspace that was started from my checkpoint, and when the last time."""

    person: str
    workspace: str
    at: datetime


class SharedCheckpoint(CheckpointModel):
    """A checkpoint of `sharer` from which I may start a workspace."""

    sharer: str
    mode: Mode
    until: datetime | None


def _shared(each: Shared) -> SharedCheckpoint:
    return SharedCheckpoint(
        **model_of(each.checkpoint).model_dump(),
        sharer=each.sharer,
        mode=each.mode,
        until=each.until,
    )


@area.api("GET", "/checkpoints/shared", needs=Open.SIGNED_IN)
async def shared_checkpoints(
    visit: CurrentVisit, limit: Limit = 50, offset: Offset = 0
) -> list[SharedCheckpoint]:
    """The checkpoints of others that are shared with me now, newest first."""
    async with visit.portal.database.reading() as session:
        found = await shared_with(session, visit.me.id)
    return [_shared(each) for each in found[offset : offset + limit]]


@area.api("POST", "/checkpoints/join", needs=Open.SIGNED_IN)
async def join_checkpoint(visit: CurrentVisit, given: Code) -> SharedCheckpoint:
    """Take a link; what it leads to."""
    async with visit.portal.database.session() as session:
        row = await checkpoint_shares.join(session, visit.me, given.code)
        found = await shared_with(session, visit.me.id, row.checkpoint_id)
    return _shared(found[0])


@area.api("GET", "/my/checkpoints/{checkpoint_id}/shares", needs=Open.SIGNED_IN)
async def list_shares(
    visit: CurrentVisit, checkpoint_id: Id, limit: Limit = 50, offset: Offset = 0
) -> list[CheckpointShareModel]:
    """The shares of my checkpoint that are in force, newest first."""
    async with visit.portal.database.reading() as session:
        row = await checkpoints.mine(session, visit.me.id, checkpoint_id)
        found = await open_shares(session, checkpoint_shares.shared(visit.me, row))
    return [CheckpointShareModel(**terms(each)) for each in found[offset : offset + limit]]


@area.api("POST", "/my/checkpoints/{checkpoint_id}/shares", needs=Open.SIGNED_IN, status_code=201)
async def make_share(
    visit: CurrentVisit, checkpoint_id: Id, wanted: NewCheckpointShare
) -> MadeShare:
    """Let somebody start from my checkpoint; who may already gets the new terms."""
    wish = Wish(kind=wanted.kind, mode=wanted.mode, who=wanted.who, hours=wanted.hours)
    async with visit.portal.database.session() as session:
        made = await checkpoint_shares.share(session, visit.me, checkpoint_id, wish)
        return MadeShare(id=made.share.id, expires_at=made.share.expires_at, code=made.code or None)


@area.api(
    "DELETE",
    "/my/checkpoints/{checkpoint_id}/shares/{share_id}",
    needs=Open.SIGNED_IN,
    status_code=204,
)
async def end_share(visit: CurrentVisit, checkpoint_id: Id, share_id: Id) -> None:
    """End one share at once; with a link go those who came by it."""
    async with visit.portal.database.session() as session:
        await checkpoint_shares.end_one(session, visit.me, checkpoint_id, share_id)


@area.api("GET", "/my/checkpoints/{checkpoint_id}/starts", needs=Open.SIGNED_IN)
async def started_by_others(visit: CurrentVisit, checkpoint_id: Id) -> list[StartedFrom]:
    """Who else started from my checkpoint, newest first."""
    async with visit.portal.database.reading() as session:
        row = await checkpoints.mine(session, visit.me.id, checkpoint_id)
        found = await checkpoint_shares.starts_by_others(session, row)
    return [StartedFrom(person=e.person, workspace=e.workspace, at=e.at) for e in found]
