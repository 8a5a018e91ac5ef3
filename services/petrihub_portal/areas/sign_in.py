"""Sign-in with the hub (OAuth with state and PKCE), and sign-out."""

import base64
import hashlib
import hmac
import secrets
from urllib.parse import urlencode

from fastapi.responses import RedirectResponse, Response

from petrihub_core.errors import Refused
from petrihub_portal.routing import Area, Open
from petrihub_portal.visit import (
    SESSION,
    SESSION_COOKIE,
    SESSION_SECONDS,
    CurrentVisit,
    Visit,
    new_session,
)

area = Area("Sign-in")

_STATE_COOKIE = "petrihub-portal-state"
_STATE = "oauth-state"
_STATE_SECONDS = 600
_MOST_BEGUN = 20  # sign-ins that one browser may have begun; the server keeps nothing of them


def _safe_next(visit: Visit, wanted: str) -> str:
    """A path below the portal, whatever was asked for: never another host or service."""
    below = wanted.lstrip("/")
    if not below.isprintable() or "\\" in below or ".." in below or len(below) > 1000:
        return visit.portal.prefix
    return visit.portal.prefix + below


def _state_cookie(state: str) -> str:
    # one for each tab: a browser that restores several begins as many sign-ins at once
    digest = hashlib.sha256(state.encode("utf8", "replace")).hexdigest()
    return f"{_STATE_COOKIE}-{digest[:12]}"


def _redirect_uri(visit: Visit) -> str:
    return f"{visit.portal.prefix}oauth_callback"


@area.page("GET", "/sign-in", needs=Open.EVERYBODY)
async def sign_in(visit: CurrentVisit, next: str = "") -> Response:
    """Send the browser to the hub."""
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
    query = urlencode(
        {
            "client_id": visit.portal.hub.client_id,
            "redirect_uri": _redirect_uri(visit),
            "response_type": "code",
            "state": state,
            "code_challenge": challenge.decode().rstrip("="),
            "code_challenge_method": "S256",
        }
    )
    answer = RedirectResponse(f"{visit.portal.hub_prefix}api/oauth2/authorize?{query}", 303)
    kept = {"state": state, "verifier": verifier, "next": _safe_next(visit, next)}
    begun = visit.cookies.names(f"{_STATE_COOKIE}-")
    for name in begun[: max(0, len(begun) + 1 - _MOST_BEGUN)]:
        visit.cookies.delete(answer, name)
    sealed = visit.portal.sealer.seal(_STATE, kept)
    visit.cookies.set(answer, _state_cookie(state), sealed, seconds=_STATE_SECONDS)
    return answer


@area.page("GET", "/oauth_callback", needs=Open.EVERYBODY)
async def come_back(visit: CurrentVisit, code: str = "", state: str = "") -> Response:
    """The browser comes back from the hub with a code."""
    sealer = visit.portal.sealer
    cookie = visit.cookies.get(_state_cookie(state))
    kept = sealer.open(_STATE, cookie, max_age_s=_STATE_SECONDS)
    if kept is None or not hmac.compare_digest(kept["state"].encode(), state.encode()):
        raise Refused(
            "This sign-in was not begun in this browser, or too long ago.",
            hint="Open the home page again.",
        )
    token = await visit.portal.hub.token_for_code(code, kept["verifier"], _redirect_uri(visit))
    answer = RedirectResponse(kept["next"], 303)
    visit.cookies.delete(answer, _state_cookie(state))
    sealed = sealer.seal(SESSION, new_session(token))
    visit.cookies.set(answer, SESSION_COOKIE, sealed, seconds=SESSION_SECONDS)
    return answer


@area.page("GET", "/sign-out", needs=Open.EVERYBODY)
async def sign_out(visit: CurrentVisit) -> Response:
    """Forget this browser's session here, then at the hub, which asks nothing more."""
    answer = RedirectResponse(f"{visit.portal.hub_prefix}logout", 303)
    visit.cookies.delete(answer, SESSION_COOKIE)
    return answer
