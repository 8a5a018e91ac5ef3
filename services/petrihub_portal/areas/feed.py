"""The feed of a person: what finished, failed, is about to stop, was granted."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from petrihub_core.errors import NotFound
from petrihub_core.records import Notification
from petrihub_portal.feeds import count, lines_of, mark_read
from petrihub_portal.pages import go, page
from petrihub_portal.routing import Area, Open
from petrihub_portal.visit import CurrentVisit, form_of

area = Area("Feed")

_PAGE = 50
_MOST = 500
_Id = Annotated[str, Field(pattern="^[0-9a-z]{1,32}$")]


@area.page("GET", "/feed", needs=Open.SIGNED_IN)
async def feed(visit: CurrentVisit, offset: Annotated[int, Query(ge=0, le=10_000)] = 0) -> Response:
    """All lines, newest first."""
    async with visit.portal.database.reading() as session:
        lines = await lines_of(session, visit.me, limit=_PAGE, offset=offset)
        total = await count(session, visit.me)
    return await page(
        visit, "feed.html", lines=lines, offset=offset, following=offset + _PAGE, total=total
    )


@area.page("POST", "/feed/read", needs=Open.SIGNED_IN)
async def read(visit: CurrentVisit) -> Response:
    """Mark one line as read and follow its link; without a line, mark all."""
    chosen = (await form_of(visit)).one("id")
    if chosen and not (chosen.isascii() and chosen.isalnum()):
        raise NotFound("There is no such line.", hint="Look at the list again.")
    async with visit.portal.database.session() as session:
        await mark_read(session, visit.me, [chosen] if chosen else None)
        line = await session.get(Notification, chosen) if chosen else None
    if line is not None and line.person_id == visit.me.id and _is_ours(line.link):
        return RedirectResponse(line.link, status_code=303)
    return go(visit, "feed")


def _is_ours(link: str) -> bool:
    return link.startswith("/") and not link.startswith(("//", "/\\"))


class LineModel(BaseModel):
    """One line; `link` is the next step. `read_at` is null while it is unread."""

    id: str
    kind: str
    title: str
    text: str
    link: str
    link_title: str
    at: datetime
    read_at: datetime | None


class FeedModel(BaseModel):
    """Lines newest first; `total` and `unread` count all of them."""

    lines: list[LineModel]
    total: int
    unread: int


class ReadModel(BaseModel):
    """Which lines were read: their ids, or all."""

    model_config = ConfigDict(extra="forbid")

    ids: list[_Id] | None = Field(None, max_length=_MOST)


class MarkedModel(BaseModel):
    """How many lines were unread until now."""

    marked: int


@area.api("GET", "/feed", needs=Open.SIGNED_IN)
async def api_feed(
    visit: CurrentVisit,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> FeedModel:
    """My feed, newest first."""
    async with visit.portal.database.reading() as session:
        lines = await lines_of(session, visit.me, limit=limit, offset=offset)
        total = await count(session, visit.me)
        unread = await count(session, visit.me, unread=True)
    found = [LineModel.model_validate(each, from_attributes=True) for each in lines]
    return FeedModel(lines=found, total=total, unread=unread)


@area.api("POST", "/feed/read", needs=Open.SIGNED_IN)
async def api_read(visit: CurrentVisit, body: ReadModel) -> MarkedModel:
    """Mark lines as read; without `ids`, all."""
    async with visit.portal.database.session() as session:
        return MarkedModel(marked=await mark_read(session, visit.me, body.ids))
