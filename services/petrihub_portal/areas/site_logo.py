"""The site's logo: uploaded on the settings page Site or by REST, served to everybody."""

from typing import Annotated

from fastapi import Path, Query
from fastapi.responses import PlainTextResponse, Response
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field
from sqlalchemy import select

from petrihub_core.errors import PetriHubError
from petrihub_core.records import Picture
from petrihub_core.settings.pages import SiteSettings
from petrihub_portal.areas.settings import WRITE, expected_version, form_page, where
from petrihub_portal.areas.settings_api import SettingsState, state_of
from petrihub_portal.logo import MOST_BYTES, remove_logo, replace_logo
from petrihub_portal.pages import go
from petrihub_portal.routing import Area, Open
from petrihub_portal.visit import CurrentVisit, form_of

area = Area("Settings")

_BODY = 2 * MOST_BYTES  # base64, or a form around it
_A_YEAR = 365 * 24 * 3600


@area.page("GET", "/logo/{digest}.png", needs=Open.EVERYBODY)
async def picture(visit: CurrentVisit, digest: Annotated[str, Path(max_length=64)]) -> Response:
    """A logo by the hash of its content: also the sign-in page shows it."""
    async with visit.portal.database.reading() as session:
        png = await session.scalar(select(Picture.png).where(Picture.digest == digest))
    if png is None:
        return PlainTextResponse("There is no such picture.\n", status_code=404)
    return Response(
        png,
        media_type="image/png",
        headers={
            "Cache-Control": f"public, max-age={_A_YEAR}, immutable",
            "Content-Security-Policy": "default-src 'none'",
            "X-Content-Type-Options": "nosniff",
        },
    )


@area.page("POST", "/admin/settings/site/logo", needs=WRITE, max_body=_BODY)
async def upload(visit: CurrentVisit) -> Response:
    """Upload or replace the logo."""
    form = await form_of(visit)
    try:
        await replace_logo(visit, await form.file("picture"), expected_version(form))
    except PetriHubError as exc:
        return await form_page(visit, SiteSettings, problem=exc)
    return go(visit, where(SiteSettings), said="The logo is on every page now.")


@area.page("POST", "/admin/settings/site/logo/remove", needs=WRITE)
async def remove(visit: CurrentVisit) -> Response:
    """Show PetriHub's own mark again."""
    await remove_logo(visit, expected_version(await form_of(visit)))
    return go(visit, where(SiteSettings), said="The logo is removed.")


class LogoBody(BaseModel):
    """A PNG of at most 256 KiB and 1024 x 1024 pixels, as base64."""

    model_config = ConfigDict(extra="forbid")

    png: Base64Bytes = Field(max_length=MOST_BYTES)
    expected: int | None = Field(
        None, ge=0, le=2**31 - 1, description="The version that you read; 409 if it is another one."
    )


@area.api("PUT", "/settings/site/logo", needs=WRITE, max_body=_BODY)
async def put_logo(visit: CurrentVisit, body: LogoBody) -> SettingsState:
    """Upload or replace the logo; `values.logo` names it in `/services/portal/logo/<it>.png`."""
    await replace_logo(visit, body.png, body.expected)
    return await state_of(visit, SiteSettings.page)


@area.api("DELETE", "/settings/site/logo", needs=WRITE)
async def delete_logo(
    visit: CurrentVisit, expected: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None
) -> SettingsState:
    """Show PetriHub's own mark again; nothing happens if it is shown."""
    await remove_logo(visit, expected)
    return await state_of(visit, SiteSettings.page)
