"""Access tokens of a person: scoped, expiring, revocable. And how to use them: the API's page."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from petrihub_core.errors import Refused
from petrihub_portal import access_tokens
from petrihub_portal.access_tokens import LONGEST_NOTE, WORDS
from petrihub_portal.openapi import by_tag
from petrihub_portal.pages import go, page
from petrihub_portal.routing import API, Area, Open
from petrihub_portal.visit import CurrentVisit, form_of

area = Area("Access tokens")

_LIVES = (1, 7, 30, 90, 180, 366)  # days that the page offers, as far as they are allowed
TokenId = Annotated[str, Path(pattern=r"^a[0-9]{1,18}$", description="The token's id.")]


class Token(BaseModel):
    """One of my tokens, without its secret; times are UTC, `last_used` null before the first use.

    `foreign`: a workspace's own, or made at the hub's own API at a time when people could.
    """

    model_config = ConfigDict(from_attributes=True)

    id: str
    note: str
    scopes: list[str]
    created: datetime | None
    expires: datetime | None
    last_used: datetime | None
    foreign: bool


class Tokens(BaseModel):
    """All my tokens, the newest first."""

    tokens: list[Token]


class NewToken(BaseModel):
    """What the new token is for and may do."""

    model_config = ConfigDict(extra="forbid")

    note: str = Field(min_length=1, max_length=LONGEST_NOTE, description="What it is for.")
    scopes: list[str] = Field(
        min_length=1, max_length=len(WORDS), description="Such as own or people:read."
    )
    days: int = Field(ge=1, le=366, description="After how many days it expires.")


class MadeToken(Token):
    """A token that was made now; `token` is its secret, shown only here."""

    token: str


@area.api("GET", "/tokens", needs=Open.SIGNED_IN)
async def my_tokens(visit: CurrentVisit) -> Tokens:
    """My access tokens."""
    found = await access_tokens.tokens_of(visit)
    return Tokens(tokens=[Token.model_validate(each) for each in found])


@area.api("POST", "/tokens", needs=Open.SIGNED_IN, status_code=201)
async def make_token(visit: CurrentVisit, wanted: NewToken) -> MadeToken:
    """Make a token. A token cannot make another one: this needs a browser's session."""
    made, secret = await access_tokens.make(visit, wanted.note.strip(), wanted.scopes, wanted.days)
    return MadeToken(**Token.model_validate(made).model_dump(), token=secret)


@area.api("DELETE", "/tokens/{token_id}", needs=Open.SIGNED_IN, status_code=204)
async def revoke_token(visit: CurrentVisit, token_id: TokenId) -> None:
    """Revoke one of my tokens."""
    await access_tokens.revoke(visit, token_id)


async def _shown(visit: CurrentVisit, status: int = 200, **more: Any) -> Response:
    limits = await access_tokens.limits(visit)
    found = await access_tokens.tokens_of(visit)
    return await page(
        visit,
        "tokens.html",
        status=status,
        mine=[each for each in found if not each.foreign],
        others=[each for each in found if each.foreign],
        offered=access_tokens.offered(visit),
        words=WORDS,
        lives=sorted({each for each in _LIVES if each < limits.token_days} | {limits.token_days}),
        most=limits.tokens_per_person,
        longest_note=LONGEST_NOTE,
        **{"note": "", "chosen": (access_tokens.OWN,), "days": 30, **more},
    )


@area.page("GET", "/tokens", needs=Open.SIGNED_IN)
async def tokens(visit: CurrentVisit) -> Response:
    """My tokens, and the form for a new one."""
    return await _shown(visit)


@area.page("POST", "/tokens", needs=Open.SIGNED_IN)
async def make(visit: CurrentVisit) -> Response:
    """Make a token; the next page shows it once."""
    form = await form_of(visit)
    note, scopes, days = form.one("note"), form.many("scopes"), form.one("days")
    try:
        if not days.isascii() or not days.isdigit() or len(days) > 4:
            raise Refused("Choose after how many days it expires.")
        made, secret = await access_tokens.make(visit, note, scopes, int(days))
    except Refused as exc:
        kept: dict[str, Any] = {"note": note, "chosen": scopes}
        return await _shown(visit, exc.status, error=exc.jupyterhub_message, **kept)
    return go(
        visit,
        "tokens",
        said=f"The token “{made.note}” was made. Copy it now: it is shown only this once.",
        link=secret,
        link_label="The new token",
    )


@area.page("POST", "/tokens/{token_id}/revoke", needs=Open.SIGNED_IN)
async def revoke(visit: CurrentVisit, token_id: TokenId) -> Response:
    """Revoke a token."""
    token = await access_tokens.revoke(visit, token_id)
    return go(visit, "tokens", said=f"The token “{token.note}” was revoked.")


@area.page("GET", f"{API}/openapi.json", needs=Open.EVERYBODY)
async def description(visit: CurrentVisit) -> Response:
    """The OpenAPI description of the REST API; it holds nothing of this deployment."""
    return JSONResponse(visit.request.app.openapi(), headers={"Cache-Control": "no-cache"})


@area.page("GET", "/api", needs=Open.SIGNED_IN)
async def api(visit: CurrentVisit) -> Response:
    """How to use the API, and all its routes."""
    base = str(visit.request.base_url).rstrip("/") + API
    routes = by_tag(visit.request.app.openapi())
    return await page(visit, "api.html", routes=routes, words=WORDS, base=base)
