"""One translation of errors: problem details for the API, a page for people, a flash for htmx."""

from contextlib import suppress
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from petrihub_core.errors import NotFound, PetriHubError, Refused, Throttled
from petrihub_core.logs import get_logger
from petrihub_portal.context import portal_of
from petrihub_portal.pages import page
from petrihub_portal.routing import API, Open, Rule
from petrihub_portal.visit import SignInNeeded, Visit, gate

log = get_logger(__name__)

_TITLES = {
    400: "This was not understood",
    401: "You are not signed in",
    403: "You may not do this",
    404: "There is nothing here",
    405: "This cannot be done here",
    409: "This does not fit what is there",
    413: "This is too large",
    422: "Something is not filled in as needed",
    429: "Too many tries",
    500: "Something went wrong",
    501: "This cannot be done here",
    503: "A part does not answer",
}


async def _explain(request: Request, error: PetriHubError) -> Response:
    headers = {}
    if isinstance(error, Throttled):
        headers["Retry-After"] = str(error.retry_after)
    portal = portal_of(request)
    below = request.url.path.removeprefix(portal.prefix.rstrip("/"))
    if below.startswith(API):
        return _problem(error, headers)
    visit = getattr(request.state, "visit", None) or Visit(portal, request)
    if isinstance(error, SignInNeeded):
        return _to_sign_in(visit)
    if visit.htmx:
        flash = portal.render.html(
            "parts/flash.html", {"kind": "bad", "text": error.jupyterhub_message}, error.status
        )
        # the words go to the place for them, whatever part was to be replaced
        flash.headers.update({"HX-Retarget": "#ph-said", "HX-Reswap": "innerHTML", **headers})
        return flash
    answer = await page(
        visit,
        "problem.html",
        status=error.status,
        heading=_TITLES.get(error.status, _TITLES[500]),
        words=error.message,
        hint=error.hint,
        away=error.status == 503,
    )
    answer.headers.update(headers)
    return answer


def _problem(error: PetriHubError, headers: dict[str, str], **more: Any) -> JSONResponse:
    """RFC 9457 problem details, with our next step as `hint`."""
    if isinstance(error, SignInNeeded):
        headers = {**headers, "WWW-Authenticate": "Bearer"}
    return JSONResponse(
        {
            "title": _TITLES.get(error.status, _TITLES[500]),
            "status": error.status,
            "detail": error.message,
            "hint": error.hint,
            **more,
        },
        status_code=error.status,
        headers=headers,
        media_type="application/problem+json",
    )


def _to_sign_in(visit: Visit) -> Response:
    prefix = visit.portal.prefix
    if visit.htmx:
        return Response(status_code=401, headers={"HX-Refresh": "true"})
    if visit.request.method != "GET":
        return RedirectResponse(prefix, status_code=303)
    below = visit.request.url.path.removeprefix(prefix)
    query = f"?{visit.request.url.query}" if visit.request.url.query else ""
    return RedirectResponse(f"{prefix}sign-in?next={quote(below + query)}", status_code=303)


async def _know_who(request: Request) -> None:
    """Who asks for a page that is not there, so that its frame is theirs; nobody if unknown."""
    if hasattr(request.state, "visit"):
        return
    rule = Rule(method="GET", path=request.url.path, needs=Open.EVERYBODY)
    with suppress(PetriHubError):
        await gate(request, rule)


class _Unprocessable(PetriHubError):
    status = 422


def install(app: FastAPI) -> None:
    """Make the app answer every error in words."""

    @app.exception_handler(PetriHubError)
    async def ours(request: Request, error: PetriHubError) -> Response:
        if error.status >= 500:
            log.warning("refused for now", path=request.url.path[:200], words=error.message)
        return await _explain(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
        words = _Unprocessable(f"{where[:100]}: {first['msg'][:200]}.")
        return await _explain(request, words)

    @app.exception_handler(HTTPException)
    async def theirs(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            await _know_who(request)
            gone = NotFound("There is no such page.", hint="Go back to the home page.")
            return await _explain(request, gone)
        words = Refused(str(error.detail)[:200])
        words.status = error.status_code
        answer = await _explain(request, words)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, _: ClientDisconnect) -> Response:
        # an upload over a slow line, for example; whoever sent it goes on later, and nobody listens
        log.info("broken off by the sender", path=request.url.path[:200])
        return Response(status_code=400)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        log.error("unexpected error", path=request.url.path[:200], exc_info=error)
        words = PetriHubError(
            "Something unexpected happened.",
            hint="Try again; if it stays, tell your administrator.",
        )
        return await _explain(request, words)
