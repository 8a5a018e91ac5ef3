"""Sharing as REST: the same rules as on the pages."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from petrihub_core.share_terms import ShareRow
from petrihub_portal import sharing
from petrihub_portal.doors import Mode, Place
from petrihub_portal.giving import LONGEST_HOURS, OpenShare, Wish, With, open_shares
from petrihub_portal.my_workspaces import look
from petrihub_portal.routing import Area, Open
from petrihub_portal.shares import shared
from petrihub_portal.visit import CurrentVisit, Visit

area = Area("Sharing")

Name = Annotated[str, Path(max_length=64)]
ShareId = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]


class GivenShare(BaseModel):
    """A share in force. `title` says with whom; `joined` are those who came by a link."""

    id: str
    kind: With
    title: str
    created_at: datetime
    expires_at: datetime | None
    joined: list[str]


class Share(GivenShare):
    """A share of a workspace."""

    mode: Mode


class WantedShare(BaseModel):
    """With whom: `who` is the name of a person or of one of my groups, empty for a link."""

    model_config = ConfigDict(extra="forbid")

    kind: With
    who: str = Field("", max_length=64)
    hours: int | None = Field(None, ge=1, le=LONGEST_HOURS, description="None: no end.")


class NewShare(WantedShare):
    """Whom to let in."""

    mode: Mode


class MadeShare(BaseModel):
    """The new share; `code` only of a link, and only in this answer."""

    id: str
    expires_at: datetime | None
    code: str | None


class Guest(BaseModel):
    """Somebody who is inside; `connections` are open websockets."""

    name: str
    mode: Mode
    since: datetime
    connections: int


class Shared(BaseModel):
    """A workspace of somebody else that I may enter; `ready` says whether it runs."""

    owner: str
    workspace: str
    mode: Mode
    url: str
    ready: bool
    until: datetime | None


class Code(BaseModel):
    """What stands behind the # of a link."""

    model_config = ConfigDict(extra="forbid")

    code: str = Field(min_length=1, max_length=200)


async def _place(visit: Visit, name: str) -> Place:
    return Place(visit.me.username, (await look(visit.portal, visit.me)).named(name).name)


def terms(each: OpenShare[ShareRow]) -> dict[str, Any]:
    """What the model of a share says, whatever is shared."""
    row = each.share
    return {
        "id": row.id,
        "kind": row.kind,
        "title": each.title,
        "mode": row.mode,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "joined": each.joined,
    }


@area.api("GET", "/workspaces/{name}/shares", needs=Open.SIGNED_IN)
async def list_shares(
    visit: CurrentVisit, name: Name, limit: Limit = 50, offset: Offset = 0
) -> list[Share]:
    """The shares of my workspace that are in force, newest first."""
    place = await _place(visit, name)
    async with visit.portal.database.reading() as session:
        found = await open_shares(session, shared(visit.me, place.workspace))
    return [Share(**terms(each)) for each in found[offset : offset + limit]]


@area.api("POST", "/workspaces/{name}/shares", needs=Open.SIGNED_IN, status_code=201)
async def make_share(visit: CurrentVisit, name: Name, wanted: NewShare) -> MadeShare:
    """Let somebody into my running workspace; who is let in already gets the new terms."""
    wish = Wish(kind=wanted.kind, mode=wanted.mode, who=wanted.who, hours=wanted.hours)
    made = await sharing.let_in(visit.portal, visit.me, await _place(visit, name), wish)
    return MadeShare(id=made.share.id, expires_at=made.share.expires_at, code=made.code or None)


@area.api("DELETE", "/workspaces/{name}/shares/{share_id}", needs=Open.SIGNED_IN, status_code=204)
async def end_share(visit: CurrentVisit, name: Name, share_id: ShareId) -> None:
    """End one share at once; with a link go those who came by it."""
    await sharing.end_one(visit.portal, visit.me, Place(visit.me.username, name), share_id)


@area.api("DELETE", "/workspaces/{name}/shares", needs=Open.SIGNED_IN, status_code=204)
async def end_shares(visit: CurrentVisit, name: Name) -> None:
    """End all shares of my workspace at once."""
    place = await _place(visit, name)
    await sharing.end_all_in(visit.portal, visit.me.id, place.workspace, visit.actor.name)


@area.api("GET", "/workspaces/{name}/guests", needs=Open.SIGNED_IN)
async def guests(
    visit: CurrentVisit, name: Name, limit: Limit = 50, offset: Offset = 0
) -> list[Guest]:
    """Who is inside my workspace now, by name."""
    found = await visit.portal.doors.inside(await _place(visit, name))
    return [
        Guest(name=each.name, mode=each.mode, since=each.since, connections=each.connections)
        for each in found[offset : offset + limit]
    ]


@area.api("GET", "/shares", needs=Open.SIGNED_IN)
async def shared_with_me(
    visit: CurrentVisit, limit: Limit = 50, offset: Offset = 0
) -> list[Shared]:
    """The workspaces of others that I may enter, by owner and name."""
    found = await sharing.shared_with(visit)
    return [
        Shared(
            owner=each.owner,
            workspace=each.workspace,
            mode=Mode(each.mode),
            url=each.url,
            ready=each.ready,
            until=each.until,
        )
        for each in found[offset : offset + limit]
    ]


@area.api("POST", "/shares/join", needs=Open.SIGNED_IN, status_code=201)
async def join(visit: CurrentVisit, given: Code) -> Shared:
    """Come in by a link."""
    place, row = await sharing.come_in(visit.portal, visit.me, given.code)
    found, url = await sharing.shared_with(visit), visit.portal.address(place)
    ready = any(each.ready for each in found if each.url == url)
    return Shared(
        owner=place.owner,
        workspace=place.workspace,
        mode=Mode(row.mode),
        url=url,
        ready=ready,
        until=row.expires_at,
    )
