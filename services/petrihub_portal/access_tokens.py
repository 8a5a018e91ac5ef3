"""Access tokens of a person: the hub keeps them, we say what they may be and who may make them.

A token can do at most what its scopes name and what the person may do at that moment: the gate
asks for both at every request.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from petrihub_core import audit, settings
from petrihub_core.errors import Conflict, NotAllowed, NotFound, Refused
from petrihub_core.roles import Permission
from petrihub_core.settings.pages import LimitsSettings
from petrihub_portal.registration import OPEN_SCOPE, OWN_SCOPE, SCOPE, SERVICE
from petrihub_portal.visit import Visit

OWN = OWN_SCOPE.removeprefix(SCOPE)
OPEN = "own:open"
LONGEST_NOTE = 80
_ACCESS = f"access:services!service={SERVICE}"
# whose it is: the hub adds these to every token
_IDENTITY = ("read:users:name!", "read:users:groups!")
_HUB_CLIENT = "JupyterHub"  # whose tokens were asked for by a person, not by a browser's sign-in

WORDS: dict[str, str] = {
    OWN: "Your own workspaces, requests, feed and shares",
    OPEN: "Open your own running workspaces: files, kernels and apps",
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


@dataclass(frozen=True, kw_only=True)
class Token:
    """One token as its owner may see it. `scopes` are those that we give, by our names.

    A foreign one is a workspace's own, or of a time when people made them at the hub's own API.
    """

    id: str
    note: str
    scopes: tuple[str, ...]
    created: datetime | None
    expires: datetime | None
    last_used: datetime | None
    foreign: bool = False


def offered(visit: Visit) -> list[str]:
    """The scopes that this person may give a token at this moment.

    What counts in workspaces only, and not at any address of the portal, is no scope.
    """
    mine = (each for each in Permission if each in visit.actor.permissions)
    return [OWN, OPEN, *(each for each in mine if each in WORDS)]


async def limits(visit: Visit) -> LimitsSettings:
    """How many, and how long."""
    async with visit.portal.database.reading() as session:
        return await settings.read(session, LimitsSettings)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _token(model: dict[str, Any]) -> Token:
    held: list[str] = model["scopes"]
    scopes = [each.removeprefix(SCOPE) for each in held if each.startswith(SCOPE)]
    if any(each.startswith(f"{OPEN_SCOPE}=") for each in held):
        scopes.append(OPEN)
    given = (SCOPE, f"{OPEN_SCOPE}=", *_IDENTITY)
    others = {each for each in held if not each.startswith(given)}
    return Token(
        id=model["id"],
        note=model["note"] or "",
        scopes=tuple(sorted(scopes)),
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
    most = (await limits(visit)).tokens_per_person
    full = Conflict(
        f"You have {most} access tokens, which is as many as you may.",
        hint="Revoke one that is no longer used.",
    )
    if len(await _counted(visit)) >= most:
        raise full
    whose = ("users", visit.me.username, "tokens")
    at_hub = (OPEN_SCOPE if each == OPEN else f"{SCOPE}{each}" for each in wanted)
    made = await visit.portal.hub.call(
        "POST",
        *whose,
        body={
            "note": note,
            "expires_in": int(timedelta(days=days).total_seconds()),
            "scopes": [_ACCESS, *at_hub],
        },
    )
    # several clicks at once, perhaps at several replicas: the hub numbered them, the first stay
    if made["id"] not in (await _counted(visit))[:most]:
        await visit.portal.hub.call("DELETE", *whose, made["id"])
        raise full
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


async def _counted(visit: Visit) -> list[str]:
    """Ids of the tokens that count for the limit, in the order in which the hub made them."""
    ids = [each.id for each in await tokens_of(visit) if not each.foreign]
    return sorted(ids, key=lambda each: int(each.removeprefix("a")))


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
