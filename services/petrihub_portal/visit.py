"""Who asks, and may they: one decision before every request, for cookies and access tokens alike.

A cookie carries the hub's OAuth token of this browser; an access token comes as
`Authorization: Bearer`. The hub says whose it is, our tables say what they may do now. An access
token may do at most what its scopes `custom:petrihub:<permission>` name.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import unquote, urlsplit

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import FormData, UploadFile

from petrihub_core import audit, instances
from petrihub_core.errors import NotAllowed, PetriHubError, Refused
from petrihub_core.full_disk import DiskFull
from petrihub_core.people import by_username
from petrihub_core.records import Person
from petrihub_core.roles import Actor, Permission, permissions_of
from petrihub_portal.context import Portal, portal_of
from petrihub_portal.cookies import Cookies
from petrihub_portal.registration import CHECKPOINTS_SCOPE, OWN_SCOPE, SCOPE
from petrihub_portal.routing import Open, Rule

SESSION_COOKIE = "petrihub-portal"
SESSION = "session"
SESSION_SECONDS = 14 * 24 * 3600  # at most; the hub's token may end before

# as a byte, and as JSON writes it (a written backslash before it is another thing)
_NUL = re.compile(rb"\0|(?<!\\)(?:\\\\)*\\u0000")

_CHANGING_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class SignInNeeded(PetriHubError):
    """Nobody is signed in; pages lead to the sign-in, the API answers 401."""

    status = 401


class TooLarge(PetriHubError):
    """More bytes than the route takes."""

    status = 413


@dataclass
class Visit:
    """One request: who, with which rights, in which portal."""

    portal: Portal
    request: Request
    person: Person | None = None
    actor: Actor = field(default_factory=lambda: Actor(""))
    xsrf: str = ""
    by_token: bool = False  # an access token asks, not a browser
    workspace: str = ""  # a running workspace of the person asks, for itself alone

    @property
    def me(self) -> Person:
        """The signed-in person; routes that are open to everybody must not ask."""
        if self.person is None:
            raise SignInNeeded("You are signed out.", hint="Sign in, then try again.")
        return self.person

    def may(self, permission: Permission) -> bool:
        """Whether the person may do this now."""
        return permission in self.actor.permissions

    @property
    def cookies(self) -> Cookies:
        """Ours, of this browser."""
        return Cookies(self.portal, self.request)

    @property
    def htmx(self) -> bool:
        """Whether htmx asked, so that the answer is a fragment."""
        return self.request.headers.get("HX-Request") == "true"


def xsrf_token(portal: Portal, session_id: str) -> str:
    """The token that forms of this browser session carry."""
    key = bytes.fromhex(portal.cookie_key)
    return hmac.new(key, f"xsrf:{session_id}".encode(), hashlib.sha256).hexdigest()


def new_session(token: str) -> dict[str, str]:
    """The content of a session cookie."""
    return {"token": token, "id": secrets.token_hex(16)}


async def gate(request: Request, rule: Rule) -> None:
    """Let the request through or raise in words; leaves the visit on `request.state`."""
    portal = portal_of(request)
    visit = Visit(portal, request)
    request.state.visit = visit
    await _check_size(request, rule)
    _check_text(request)
    bearer = request.headers.get("Authorization")
    if bearer is not None and rule.is_api:
        await _by_token(visit, bearer, rule)
    else:
        await _by_cookie(visit, rule)
    if rule.changes and portal.database.is_full():
        raise DiskFull
    if rule.needs is Open.EVERYBODY:
        return
    if visit.person is None:
        raise SignInNeeded("You are not signed in.", hint="Sign in, then try again.")
    if rule.needs is Open.WORKSPACE and not visit.workspace:
        raise NotAllowed("Only a workspace may ask this, for itself.", hint="Use the pages.")
    if rule.needs in (Open.SIGNED_IN, Open.WORKSPACE):
        return
    try:
        visit.actor.require(rule.needs)
    except NotAllowed:
        async with portal.database.session() as session:
            await audit.record(
                session,
                actor=visit.actor.name,
                action="portal.refused",
                target=f"{rule.method} {request.url.path}",
                outcome="refused",
                detail={"needs": rule.needs},
            )
        raise


async def _check_size(request: Request, rule: Rule) -> None:
    """Read the body up to its limit: what is longer is refused before anybody parses it."""
    read = 0
    chunks = []
    async for chunk in request.stream():
        read += len(chunk)
        if read > rule.max_body:
            raise TooLarge(
                f"This is more than the {rule.max_body // 1024} KiB that are taken here.",
                hint="Send less at once.",
            )
        chunks.append(chunk)
    request._body = b"".join(chunks)


def _check_text(request: Request) -> None:
    """No text holds a NUL: PostgreSQL cannot store it. Of forms, `Form` looks at the fields."""
    asked = unquote(request.url.query) + unquote(request.url.path)
    kind = request.headers.get("Content-Type", "")
    body: bytes = request._body
    if "\0" in asked or (not kind.startswith("multipart/form-data") and _NUL.search(body)):
        raise Refused("A character that no text may hold (NUL) was sent.", hint="Take it out.")


async def _by_token(visit: Visit, header: str, rule: Rule) -> None:
    kind, _, token = header.partition(" ")
    model = None
    if kind.lower() in ("bearer", "token") and token.strip():
        model = await visit.portal.hub.person_behind(token.strip())
    if model is None or model.get("kind") != "user":
        raise SignInNeeded(
            "This access token is not valid.", hint="Make a new one on the page Access tokens."
        )
    scopes = set(model.get("scopes") or ())
    if any(each.startswith(f"{CHECKPOINTS_SCOPE}!server=") for each in scopes):
        await _by_workspace(visit, token.strip(), model["name"], scopes, rule)
        return
    allowed = frozenset(each for each in Permission if f"{SCOPE}{each}" in scopes)
    if rule.needs is Open.SIGNED_IN and OWN_SCOPE not in scopes:
        raise NotAllowed(
            "This token is not for your own things.", hint=f"Make one with the scope {OWN_SCOPE}."
        )
    visit.by_token = True
    async with visit.portal.database.reading() as session:
        await _enter(visit, session, model["name"], allowed)


async def _by_workspace(visit: Visit, token: str, name: str, scopes: set[str], rule: Rule) -> None:
    """A workspace's own token: only where a workspace may ask, and while this one runs."""
    if rule.needs is not Open.WORKSPACE:
        raise NotAllowed(
            "The token of a workspace is for this workspace alone.",
            hint="Make an access token on the page Access tokens.",
        )
    mark = f"{CHECKPOINTS_SCOPE}!server={name}/"
    named = [each.removeprefix(mark) for each in scopes if each.startswith(mark)]
    visit.by_token = True
    async with visit.portal.database.reading() as session:
        await _enter(visit, session, name, frozenset())
        running = None
        if len(named) == 1 and visit.person is not None:
            running = await instances.of_workspace(session, visit.person.id, named[0])
    # The hub's word counts for some seconds, but a stop takes effect at once: the token of an
    # earlier start is asked about again, since each start has an answer of its own.
    if running is not None and await visit.portal.hub.person_behind(token, running.id):
        visit.workspace = named[0]
    else:
        raise SignInNeeded(
            "This workspace has ended, or cannot be saved.", hint="Stop it and start it again."
        )


async def _by_cookie(visit: Visit, rule: Rule) -> None:
    portal = visit.portal
    held = portal.sealer.open(SESSION, visit.cookies.get(SESSION_COOKIE), max_age_s=SESSION_SECONDS)
    if held is None:
        return
    visit.xsrf = xsrf_token(portal, held["id"])
    if rule.changes:
        await _check_forgery(visit)
    model = await portal.hub.person_behind(held["token"], held["id"])
    if model is not None and model.get("kind") == "user":
        async with portal.database.reading() as session:
            await _enter(visit, session, model["name"], frozenset(Permission))


async def _enter(
    visit: Visit, session: AsyncSession, name: str, at_most: frozenset[Permission]
) -> None:
    person = await by_username(session, name)
    if person is None or not person.active:
        return
    visit.person = person
    held = await permissions_of(session, person)
    visit.actor = Actor(person.username, held & at_most, person.id)


async def _check_forgery(visit: Visit) -> None:
    """A change by cookie needs our token, and must come from a page of this origin."""
    request = visit.request
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    foreign = (
        site not in (None, "same-origin")
        # no page of ours asks so, and a foreign page cannot ask otherwise without asking first
        or request.headers.get("Sec-Fetch-Mode") == "no-cors"
        or (origin is not None and urlsplit(origin).netloc != request.headers.get("Host"))
    )
    given = request.headers.get("X-XSRFToken") or ""
    if not given and request.headers.get("Content-Type", "").startswith(_CHANGING_FORMS):
        form = await request.form()
        given = str(form.get("_xsrf") or "")
    if foreign or not hmac.compare_digest(given.encode(), visit.xsrf.encode()):
        raise NotAllowed(
            "This page was open for too long, or the form came from somewhere else.",
            hint="Reload the page, then try again.",
        )


def _visit_of(request: Request) -> Visit:
    visit: Visit = request.state.visit
    return visit


CurrentVisit = Annotated[Visit, Depends(_visit_of)]


class Form:
    """The fields of a posted form, as text; a file is asked for by `file`."""

    def __init__(self, data: FormData) -> None:
        self._data = data

    def one(self, name: str, default: str = "") -> str:
        """The field, stripped of white space at its ends; `default` if it was not sent."""
        values = self.many(name)
        if len(values) > 1:
            raise Refused(f"The field {name!r} was sent {len(values)} times.")
        return values[0] if values else default

    def many(self, name: str) -> list[str]:
        """All values of a field that may be sent more than once."""
        values = self._data.getlist(name)
        if not all(isinstance(value, str) and "\0" not in value for value in values):
            raise Refused(f"The field {name!r} must be text.")
        return [str(value).strip() for value in values]

    async def file(self, name: str) -> bytes:
        """The content of an uploaded file; empty if none was chosen."""
        value = self._data.get(name)
        return await value.read() if isinstance(value, UploadFile) else b""


async def form_of(visit: Visit) -> Form:
    """The posted form."""
    return Form(await visit.request.form())
