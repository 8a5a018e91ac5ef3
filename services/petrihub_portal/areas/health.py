"""Whether PetriHub works: for proxies a word, for administrators each part and what to do."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict

from petrihub_core.records import now
from petrihub_core.roles import Permission
from petrihub_portal import health
from petrihub_portal.health import Readiness
from petrihub_portal.pages import fragment, page
from petrihub_portal.routing import Area, Open
from petrihub_portal.visit import CurrentVisit, Visit

area = Area("Health")

Color = Literal["green", "yellow", "red"]


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Whether requests can be answered now."""

    status: Literal["ready", "unavailable"]


class Component(BaseModel):
    """One part; `todo` is the next step where it is not green."""

    model_config = ConfigDict(from_attributes=True)

    part: str
    title: str
    level: Color
    words: str
    todo: str


class Health(BaseModel):
    """All parts; `level` is the worst of them."""

    level: Color
    at: datetime
    components: list[Component]


@area.api("GET", "/alive", needs=Open.EVERYBODY)
async def alive() -> Alive:
    """Answers as long as the process does."""
    return Alive()


@area.api("GET", "/ready", needs=Open.EVERYBODY, responses={503: {"model": Ready}})
async def ready(visit: CurrentVisit) -> Response:
    """200 while database and hub answer, else 503; says no more, since anybody may ask."""
    if await _readiness(visit).now():
        return JSONResponse(Ready(status="ready").model_dump())
    return JSONResponse(Ready(status="unavailable").model_dump(), 503, {"Retry-After": "5"})


def _readiness(visit: Visit) -> Readiness:
    """One of each process, so that its memory is shared by all who ask."""
    kept = visit.request.app.state
    if not hasattr(kept, "readiness"):
        kept.readiness = Readiness(visit.portal)
    found: Readiness = kept.readiness
    return found


@area.api("GET", "/health", needs=Permission.HEALTH_READ)
async def components(visit: CurrentVisit) -> Health:
    """Each component, asked at once; takes three seconds at most, however many are away."""
    found = await health.look(visit.portal)
    shown = [Component.model_validate(each) for each in found]
    return Health(level=health.worst(found).value, at=now(), components=shown)


@area.page("GET", "/admin/health", needs=Permission.HEALTH_READ)
async def overview(visit: CurrentVisit, part: Annotated[str, Query(max_length=8)] = "") -> Response:
    """Each component and what to do; looks again by itself."""
    found = await health.look(visit.portal)
    values: dict[str, Any] = {"components": found, "level": health.worst(found), "at": now()}
    if visit.htmx and part:
        return fragment(visit, "parts/health.html", **values)
    return await page(visit, "health.html", **values)
