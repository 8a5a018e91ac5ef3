"""Announcements to everybody."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Query
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from petrihub_core.errors import PetriHubError
from petrihub_core.records import Announcement, now
from petrihub_core.roles import Permission
from petrihub_portal import announcements
from petrihub_portal.announcements import LONGEST, Draft, Standing
from petrihub_portal.moments import field_value, read_moment
from petrihub_portal.pages import go, page
from petrihub_portal.routing import Area
from petrihub_portal.visit import CurrentVisit, Form, Visit, form_of

area = Area("Announcements")
_PAGE = 20
_PLACE = "admin/announcements"
_FIELDS = ("text", "level", "starts_at", "ends_at")


class AnnouncementModel(BaseModel):
    """An announcement and whether it is shown now."""

    id: str
    text: str
    level: str
    starts_at: datetime
    ends_at: datetime | None
    by: str
    state: Standing


class AnnouncementBody(BaseModel):
    """What to announce. Without `starts_at` at once, without `ends_at` until it is ended."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=LONGEST)
    level: Literal["info", "warning"] = "info"
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None

    def draft(self) -> Draft:
        """The same for the domain."""
        return Draft(
            text=self.text, level=self.level, starts_at=self.starts_at, ends_at=self.ends_at
        )


class AnnouncementList(BaseModel):
    """Shown and planned ones first, each newest first."""

    items: list[AnnouncementModel]
    total: int


def _model(row: Announcement) -> AnnouncementModel:
    return AnnouncementModel(
        id=row.id,
        text=row.text,
        level=row.level,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        by=row.by,
        state=announcements.standing(row, now()),
    )


async def _list_page(
    visit: Visit, *, draft: dict[str, str] | None = None, error: PetriHubError | None = None
) -> Response:
    asked = visit.request.query_params.get("page", "1")
    number = max(1, int(asked)) if asked.isascii() and asked.isdecimal() and len(asked) < 7 else 1
    async with visit.portal.database.reading() as session:
        rows, total = await announcements.listed(session, limit=_PAGE, offset=_PAGE * (number - 1))
    return await page(
        visit,
        "announcements.html",
        status=error.status if error else 200,
        items=[_model(row) for row in rows],
        total=total,
        number=number,
        pages=max(1, -(-total // _PAGE)),
        draft=draft or dict.fromkeys(_FIELDS, ""),
        longest=LONGEST,
        error=error.jupyterhub_message if error else "",
    )


def _fields(form: Form) -> dict[str, str]:
    return {name: form.one(name) for name in _FIELDS}


def _draft(fields: dict[str, str]) -> Draft:
    return Draft(
        text=fields["text"],
        level=fields["level"] or "info",
        starts_at=read_moment(fields["starts_at"], "Shown from"),
        ends_at=read_moment(fields["ends_at"], "Shown until"),
    )


@area.page("GET", "/admin/announcements", needs=Permission.ANNOUNCE)
async def list_page(visit: CurrentVisit) -> Response:
    """All announcements and the form for a new one."""
    return await _list_page(visit)


@area.page("POST", "/admin/announcements", needs=Permission.ANNOUNCE)
async def make(visit: CurrentVisit) -> Response:
    """Announce."""
    fields = _fields(await form_of(visit))
    try:
        async with visit.portal.database.session() as session:
            row = await announcements.announce(session, visit.actor, _draft(fields))
    except PetriHubError as exc:
        return await _list_page(visit, draft=fields, error=exc)
    planned = announcements.standing(row, now()) is Standing.PLANNED
    return go(visit, _PLACE, said="The announcement is planned." if planned else "Announced.")


@area.page("GET", "/admin/announcements/{announcement_id}", needs=Permission.ANNOUNCE)
async def edit_page(visit: CurrentVisit, announcement_id: str) -> Response:
    """The form for one announcement."""
    async with visit.portal.database.reading() as session:
        row = await announcements.find(session, announcement_id)
    draft = {
        "text": row.text,
        "level": row.level,
        "starts_at": field_value(row.starts_at),
        "ends_at": field_value(row.ends_at),
    }
    return await page(
        visit, "announcement_edit.html", item=_model(row), draft=draft, longest=LONGEST
    )


@area.page("POST", "/admin/announcements/{announcement_id}", needs=Permission.ANNOUNCE)
async def edit(visit: CurrentVisit, announcement_id: str) -> Response:
    """Save the words and times of one announcement."""
    fields = _fields(await form_of(visit))
    try:
        async with visit.portal.database.session() as session:
            await announcements.edit(session, visit.actor, announcement_id, _draft(fields))
    except PetriHubError as exc:
        async with visit.portal.database.reading() as session:
            row = await announcements.find(session, announcement_id)
        return await page(
            visit,
            "announcement_edit.html",
            status=exc.status,
            item=_model(row),
            draft=fields,
            longest=LONGEST,
            error=exc.jupyterhub_message,
        )
    return go(visit, _PLACE, said="The announcement is saved.")


@area.page("POST", "/admin/announcements/{announcement_id}/end", needs=Permission.ANNOUNCE)
async def end(visit: CurrentVisit, announcement_id: str) -> Response:
    """Show it no longer."""
    async with visit.portal.database.session() as session:
        await announcements.end(session, visit.actor, announcement_id)
    return go(visit, _PLACE, said="The announcement has ended.")


@area.api("GET", "/announcements", needs=Permission.ANNOUNCE)
async def list_api(
    visit: CurrentVisit,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> AnnouncementList:
    """All announcements: shown and planned ones first, each newest first."""
    async with visit.portal.database.reading() as session:
        rows, total = await announcements.listed(session, limit=limit, offset=offset)
    return AnnouncementList(items=[_model(row) for row in rows], total=total)


@area.api("POST", "/announcements", needs=Permission.ANNOUNCE, status_code=201)
async def make_api(visit: CurrentVisit, body: AnnouncementBody) -> AnnouncementModel:
    """Announce."""
    async with visit.portal.database.session() as session:
        return _model(await announcements.announce(session, visit.actor, body.draft()))


@area.api("PUT", "/announcements/{announcement_id}", needs=Permission.ANNOUNCE)
async def edit_api(
    visit: CurrentVisit, announcement_id: str, body: AnnouncementBody
) -> AnnouncementModel:
    """Say it in other words, or at another time."""
    async with visit.portal.database.session() as session:
        return _model(await announcements.edit(session, visit.actor, announcement_id, body.draft()))


@area.api("POST", "/announcements/{announcement_id}/end", needs=Permission.ANNOUNCE)
async def end_api(visit: CurrentVisit, announcement_id: str) -> AnnouncementModel:
    """Show it no longer."""
    async with visit.portal.database.session() as session:
        return _model(await announcements.end(session, visit.actor, announcement_id))
