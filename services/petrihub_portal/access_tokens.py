"""Access tokens of a person: the hub keeps them, we say what they may be and who may make them.

A token can do at most what its scopes name and what the person may do at that moment: the gate
asks for both at every request.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

from petrihub_core import audit, settings
from petrihub_core.errors import Conflict, NotAllowed, NotFound, Refused
from petrihub_core.roles import Permission
from petrihub_core.settings.pages import LimitsSettings
from petrihub_portal.registration import OWN_SCOPE, SCOPE, SERVICE
from petrihub_portal.visit import Visit

OWN = OWN_SCOPE.removeprefix(SCOPE)
LONGEST_NOTE = 80
_ACCESS = f"access:services!service={SERVICE}"
# whose it is: the hub adds these to every token
_IDENTITY = ("read:users:name!", "read:users:groups!")
_HUB_CLIENT = "JupyterHub"  # whose tokens were asked for by a person, not by a browser's sign-in

WORDS: dict[str, str] = {
    OWN: "Your own workspaces, requests, feed and shares",
    Permission.PEOPLE_READ: "See people",
    Permission.PEOPLE_WRITE: "Create, invite and deactivate people",
    Permission.ROLES_WRITE: "Give and take roles",
    Permission.GROUPS_READ: "See groups",
    Permission.GROUPS_WRITE: "Change groups and their members",
    Permission.REQUESTS_ANSWER: "Answer requests",
    Permission.PROFILES_READ: "See profiles and sizes",
    Permission.PROFILES_WRITE: "Change profiles and sizes",
    Permission.WORKSPACES_READ: "See everybody's workspaces",
    Permission.WORKSPACES_STOP: "Stop everybody's workspaces",
    Permission.MACHINES_READ: "See machines",
    Permission.ANNOUNCE: "Write announcements",
    Permission.MAINTENANCE: "Switch maintenance on and off",
    Permission.SETTINGS_READ: "See settings",
    Permission.SETTINGS_WRITE: "Change settings",
    Permission.AUDIT_READ: "Read the audit trail",
    Permission.HEALTH_READ: "See the health of the platform",
    Permission.DIAGNOSTICS: "Get the diagnostics bundle",
}

_turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


@dataclass(frozen=True, kw_only=True)
class Token:
    """One token as its owner may see it. `scopes` are ours, without their prefix.

    A foreign one was made at the hub's own API: what it may there is no matter of our scopes.
    """

    id: str
    note: str
    scopes: tuple[str, ...]
    created: datetime | None
    expires: datetime | None
    last_used: datetime | None
    foreign: bool = False


def offered(visit: Visit) -> list[str]:
    """The scopes that this person may give a token at this moment."""
    return [OWN, *(each for each in Permission if each in visit.actor.permissions)]


async def limits(visit: Visit) -> LimitsSettings:
    """How many, and how long."""
    async with visit.portal.database.reading() as session:
        return await settings.read(session, LimitsSettings)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _token(model: dict[str, Any]) -> Token:
    scopes = tuple(
        sorted(each.removeprefix(SCOPE) for each in model["scopes"] if each.startswith(SCOPE))
    )
    others = {each for each in model["scopes"] if not each.startswith((SCOPE, *_IDENTITY))}
    return Token(
        id=model["id"],
        note=model["note"] or "",
        scopes=scopes,
        created=_moment(model["created"]),
        expires=_moment(model["expires_at"]),
        last_used=_moment(model["last_activity"]),
        foreign=others != {_ACCESS} or not scopes,
    )


async def tokens_of(visit: Visit) -> list[Token]:
    """The person's tokens, the newest first; none of those that browsers and apps hold."""
    found = await visit.portal.hub.call("GET", "users", visit.me.username, "tokens")
    mine = [_token(each) for each in found["api_tokens"] if each["oauth_client"] == _HUB_CLIENT]
    return sorted(mine, key=lambda each: (str(each.created), each.id), reverse=True)


async def make(visit: Visit, note: str, scopes: Iterable[str], days: int) -> tuple[Token, str]:
    """A new token and its secret, which nobody can see again.

    Raises `NotAllowed` for a scope that the person does not hold, or if a token asks; `Refused`
    for what cannot be; `Conflict` if there are too many.
    """
    wanted = sorted(set(scopes))
    await _require_makable(visit, note, wanted, days)
    # two clicks at once must not make more than are allowed
    turn = _turns.setdefault(visit.me.id, asyncio.Lock())
    async with turn:
        most = (await limits(visit)).tokens_per_person
        if len([each for each in await tokens_of(visit) if not each.foreign]) >= most:
            raise Conflict(
                f"You have {most} access tokens, which is as many as you may.",
                hint="Revoke one that is no longer used.",
            )
        made = await visit.portal.hub.call(
            "POST",
            "users",
            visit.me.username,
            "tokens",
            body={
                "note": note,
                "expires_in": int(timedelta(days=days).total_seconds()),
                "scopes": [_ACCESS, *(f"{SCOPE}{each}" for each in wanted)],
            },
        )
    token = _token(made)
    async with visit.portal.database.session() as session:
        await audit.record(
            session,
            actor=visit.actor.name,
            action="token.made",
            target=visit.me.username,
            detail={"id": token.id, "note": note, "scopes": ", ".join(wanted), "days": days},
        )
    return token, str(made["token"])


async def _require_makable(visit: Visit, note: str, scopes: list[str], days: int) -> None:
    if visit.by_token:
        raise NotAllowed(
            "An access token cannot make another one.",
            hint="Sign in with a browser, then make it on the page Access tokens.",
        )
    if not note or not note.isprintable() or len(note) > LONGEST_NOTE:
        raise Refused(
            f"Say in one line of at most {LONGEST_NOTE} characters what the token is for.",
            hint="So that you know later which one to revoke.",
        )
    if not scopes:
        raise Refused("The token would be allowed nothing.", hint="Choose at least one permission.")
    for each in scopes:
        if each not in WORDS:
            raise Refused(
                f"There is no permission {each[:32]!r}.", hint="Choose among those shown."
            )
        if each not in offered(visit):
            raise NotAllowed(
                f"You do not hold {each}, so a token of yours cannot either.",
                hint="Choose among those shown.",
            )
    most = (await limits(visit)).token_days
    if not 1 <= days <= most:
        raise Refused(
            f"A token lives between 1 and {most} days here.",
            hint="An administrator sets the longest life under Settings, Limits.",
        )


async def revoke(visit: Visit, token_id: str) -> Token:
    """End a token: at the latest 20 seconds from now nobody can use it. The token that it was.

    Raises `NotFound` if it is not one of the person's.
    """
    token = next((each for each in await tokens_of(visit) if each.id == token_id), None)
    if token is None:
        raise NotFound("You have no such token.", hint="It may have expired, or was revoked.")
    await visit.portal.hub.call("DELETE", "users", visit.me.username, "tokens", token.id)
    async with visit.portal.database.session() as session:
        await audit.record(
            session,
            actor=visit.actor.name,
            action="token.revoked",
            target=visit.me.username,
            detail={"id": token.id, "note": token.note},
        )
    return token
