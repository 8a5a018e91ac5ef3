"""Maintenance: no new starts from a moment on; what runs is kept."""

from datetime import datetime
from typing import Annotated

from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from petrihub_core import settings
from petrihub_core.errors import PetriHubError, Refused
from petrihub_core.records import now
from petrihub_core.roles import Permission
from petrihub_core.settings.pages import MaintenanceSettings
from petrihub_core.settings.store import version_of
from petrihub_portal.moments import field_value, read_moment
from petrihub_portal.pages import go, page
from petrihub_portal.routing import Area
from petrihub_portal.visit import CurrentVisit, Visit, form_of

area = Area("Maintenance")
_PLACE = "admin/maintenance"
_LONGEST = 300


class MaintenanceModel(BaseModel):
    """Whether and when nothing may be started; `begun` is whether that is so now."""

    on: bool
    begun: bool
    begins: datetime | None
    until: datetime | None
    message: str
    version: int


class MaintenanceBody(BaseModel):
    """`begins` empty: at once. `expected` is the version that was read, to notice others' saves."""

    model_config = ConfigDict(extra="forbid")

    on: bool
    begins: AwareDatetime | None = None
    until: AwareDatetime | None = None
    message: str = Field("", max_length=_LONGEST)
    expected: Annotated[int, Field(ge=0, le=2**31)] | None = None


async def _read(visit: Visit) -> MaintenanceModel:
    async with visit.portal.database.reading() as session:
        saved = await settings.read(session, MaintenanceSettings)
        version = await version_of(session, MaintenanceSettings)
    return MaintenanceModel(
        on=saved.on,
        begun=saved.begun(now()),
        begins=saved.from_,
        until=saved.until,
        message=saved.message,
        version=version,
    )


async def _save(visit: Visit, wanted: MaintenanceBody) -> None:
    visit.actor.require(Permission.MAINTENANCE)
    if (
        wanted.on
        and wanted.until is not None
        and wanted.until <= max(wanted.begins or now(), now())
    ):
        raise Refused(
            "The maintenance would end before it begins.",
            hint="Choose a later end, or leave it empty.",
        )
    message = " ".join(wanted.message.split())
    if len(message) > _LONGEST or not message.isprintable():
        raise Refused(f"The message has at most {_LONGEST} characters.", hint="Say less.")
    values = MaintenanceSettings(
        on=wanted.on,
        message=message,
        # a maintenance "at once" keeps the moment at which it was turned on
        from_=(wanted.begins or now()) if wanted.on else None,
        until=wanted.until if wanted.on else None,
    )
    async with visit.portal.database.session() as session:
        await settings.write(session, values, by=visit.actor.name, expected=wanted.expected)


async def _page(
    visit: Visit, *, fields: dict[str, str] | None = None, error: PetriHubError | None = None
) -> Response:
    saved = await _read(visit)
    shown = fields or {
        "begins": field_value(saved.begins),
        "until": field_value(saved.until),
        "message": saved.message,
    }
    return await page(
        visit,
        "maintenance.html",
        status=error.status if error else 200,
        saved=saved,
        fields=shown,
        longest=_LONGEST,
        error=error.jupyterhub_message if error else "",
    )


@area.page("GET", "/admin/maintenance", needs=Permission.MAINTENANCE)
async def maintenance_page(visit: CurrentVisit) -> Response:
    """Whether it is on, and the form."""
    return await _page(visit)


@area.page("POST", "/admin/maintenance", needs=Permission.MAINTENANCE)
async def save(visit: CurrentVisit) -> Response:
    """Turn it on, change it, or turn it off (`do=off`)."""
    form = await form_of(visit)
    fields = {name: form.one(name) for name in ("begins", "until", "message")}
    on = form.one("do") != "off"
    expected = form.one("expected")
    try:
        if not (expected.isascii() and expected.isdecimal() and len(expected) < 10):
            raise Refused("This form is not complete.", hint="Reload the page, then try again.")
        wanted = MaintenanceBody.model_construct(
            on=on,
            begins=read_moment(fields["begins"], "Begins") if on else None,
            until=read_moment(fields["until"], "Expected to end") if on else None,
            message=fields["message"] if on else "",
            expected=int(expected),
        )
        await _save(visit, wanted)
    except PetriHubError as exc:
        return await _page(visit, fields=fields, error=exc)
    said = "Maintenance is set." if on else "Maintenance is over: workspaces can be started again."
    return go(visit, _PLACE, said=said)


@area.api("GET", "/maintenance", needs=Permission.MAINTENANCE)
async def read_api(visit: CurrentVisit) -> MaintenanceModel:
    """Whether and when nothing may be started."""
    return await _read(visit)


@area.api("PUT", "/maintenance", needs=Permission.MAINTENANCE)
async def save_api(visit: CurrentVisit, body: MaintenanceBody) -> MaintenanceModel:
    """Turn it on or off; running workspaces are kept."""
    await _save(visit, body)
    return await _read(visit)
