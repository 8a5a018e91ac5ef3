"""What administrators do with people. Every change is checked and audited in its transaction.

Promises: nobody acts on somebody who may do more than they; there is always a super admin left;
nobody locks themselves out; the links that somebody made do not outlive their right to make them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_authenticators import links, throttle
from petrihub_authenticators.links import Brings, Kind
from petrihub_core import audit, groups
from petrihub_core.errors import Conflict, NotFound, Refused
from petrihub_core.names import new_username, normalise_username
from petrihub_core.people import LOCAL_ISSUER, by_username, person_for
from petrihub_core.records import Account, Person, RoleGrant, SignInLink, new_id
from petrihub_core.roles import (
    RESEARCHER,
    ROLES,
    Actor,
    Permission,
    in_line,
    keep_one_super_admin,
    permissions_of,
    require_grantable,
    require_reach,
    set_roles,
)

OPERATOR = "operator"  # the actor of what is done on the command line
MOST_INVITATIONS = 10_000  # open ones that one administrator may have made

_EMAIL = re.compile(r"[^@\s<>\",;]{1,64}@[^@\s<>\",;]+\.[^@\s<>\",;.]+")
_LONGEST_EMAIL = 254  # RFC 5321


@dataclass(frozen=True, kw_only=True)
class Newcomer:
    """Somebody to invite; without a name they choose one. `groups` are names of groups."""

    name: str = ""
    email: str = ""
    role: str = RESEARCHER
    groups: tuple[str, ...] = ()


async def add(session: AsyncSession, actor: Actor, who: Newcomer) -> str:
    """The code of an invitation; with a name, the account is there at once and waits for it.

    Raises `Refused` for a wrong name, e-mail address, role or group, `NotAllowed` for a role beyond
    the actor's own, `Conflict` if the name is taken or too many invitations are open.
    """
    actor = await in_line(session, actor)
    actor.require(Permission.PEOPLE_WRITE)
    await require_room(session, actor, 1)
    email = checked_email(who.email)
    if who.role != RESEARCHER:
        actor.require(Permission.ROLES_WRITE)
        require_grantable(actor, [who.role])
    if who.groups:
        actor.require(Permission.GROUPS_WRITE)
    wanted = await groups.groups_named(session, who.groups) if who.groups else []
    if not who.name.strip():
        ids = tuple(group.id for group in wanted)
        brings = Brings(role=who.role, email=email, groups=ids)
        return await links.make(session, Kind.INVITE, by=actor.name, brings=brings)
    username = new_username(who.name)
    if await by_username(session, username) is not None:
        raise Conflict(f"There is already somebody with the name {username!r}.")
    person = await person_for(session, LOCAL_ISSUER, new_id(), username=username)
    person.email = email
    await audit.record(
        session, actor=actor.name, action="account.made", target=username, detail={"role": who.role}
    )
    if who.role != RESEARCHER:
        session.add(RoleGrant(person_id=person.id, role=who.role, granted_by=actor.name))
        await session.flush()
    for group in wanted:
        await groups.join(session, actor, group, person)
    brings = Brings(role=who.role, email=email)
    return await links.make(session, Kind.INVITE, by=actor.name, username=username, brings=brings)


async def require_room(session: AsyncSession, actor: Actor, count: int) -> None:
    """Raise `Conflict` if the actor would have more open invitations than anybody needs."""
    if await links.count_open(session, by=actor.name) + count > MOST_INVITATIONS:
        raise Conflict(
            f"You would have more than {MOST_INVITATIONS:,} open invitations.",
            hint="Withdraw some, or wait until they expire.",
        )


async def new_link(session: AsyncSession, actor: Actor, name: str) -> str:
    """The code with which this person sets a (new) password; earlier ones stop working."""
    actor = await in_line(session, actor)
    actor.require(Permission.PEOPLE_WRITE)
    # whoever holds the link is that person: it must not lead upwards
    await require_reach(session, actor, await find(session, name))
    return await link_for(session, name, by=actor.name)


async def link_for(session: AsyncSession, name: str, *, by: str) -> str:
    """As `new_link`, for callers that have shown their right in another way (the command line)."""
    person = await find(session, name)
    if not person.active:
        raise Conflict(f"{person.username} is deactivated.", hint="Activate the account first.")
    if person.issuer != LOCAL_ISSUER:
        raise Conflict(f"{person.username} has no password here; they sign in elsewhere.")
    known = await session.get(Account, person.id) is not None
    await throttle.forget(session, throttle.account_key(person.username))
    return await links.make(
        session, Kind.RESET if known else Kind.INVITE, by=by, username=person.username
    )


async def set_email(session: AsyncSession, actor: Actor, name: str, email: str) -> Person:
    """Write down an e-mail address, or forget it if it is empty."""
    actor = await in_line(session, actor)
    actor.require(Permission.PEOPLE_WRITE)
    person = await find(session, name)
    await require_reach(session, actor, person)
    wanted = checked_email(email)
    if person.email != wanted:
        person.email = wanted
        # the address itself is personal data, which the trail would keep for ever
        detail = {"set": wanted is not None}
        await audit.record(
            session, actor=actor.name, action="person.email", target=person.username, detail=detail
        )
    return person


async def change_roles(
    session: AsyncSession, actor: Actor, name: str, roles: Sequence[str]
) -> Person:
    """Give the person exactly these roles; what they lose, their open links lose too."""
    actor = await in_line(session, actor)
    actor.require(Permission.ROLES_WRITE)
    person = await find(session, name)
    await require_reach(session, actor, person)
    before = await permissions_of(session, person)
    await set_roles(session, actor, person, roles)
    if not before <= await permissions_of(session, person):
        await links.close_all_by(session, person.username)
    return person


async def deactivate(session: AsyncSession, actor: Actor, name: str) -> Person:
    """The person, who may not enter any more; links for them and by them are closed.

    What the hub holds of theirs is ended afterwards: `sessions_to_end` says that it is to be done.
    """
    actor = await in_line(session, actor)
    actor.require(Permission.PEOPLE_WRITE)
    person = await find(session, name)
    if person.username == actor.name:
        raise Conflict(
            "You cannot deactivate yourself.", hint="Another administrator can do that for you."
        )
    await require_reach(session, actor, person)
    await keep_one_super_admin(session, person)
    person.active, person.sessions_to_end = False, True
    await links.close_all_of(session, person.username)
    await links.close_all_by(session, person.username)
    await audit.record(
        session, actor=actor.name, action="person.deactivated", target=person.username
    )
    return person


async def activate(session: AsyncSession, actor: Actor, name: str) -> Person:
    """The person, who may enter again with the password they had."""
    actor = await in_line(session, actor)
    actor.require(Permission.PEOPLE_WRITE)
    person = await find(session, name)
    await require_reach(session, actor, person)
    person.active = True
    await audit.record(session, actor=actor.name, action="person.activated", target=person.username)
    return person


async def withdraw(session: AsyncSession, actor: Actor, link_id: str) -> None:
    """Close an open invitation; one to a role needs as much as the role holds."""
    actor.require(Permission.PEOPLE_WRITE)
    link = await session.get(SignInLink, link_id)
    if link is not None and link.kind != Kind.INVITE:
        raise NotFound("This invitation is not open any more.", hint="Look at the list again.")
    if link is not None and link.role in ROLES:
        require_grantable(actor, [link.role])
    await links.revoke(session, link_id, by=actor.name)


async def find(session: AsyncSession, name: str) -> Person:
    """The person with this name; raises `NotFound`."""
    try:
        username = normalise_username(name)
    except Refused as exc:
        raise NotFound("There is nobody with this name.", hint="Look at the list again.") from exc
    person = await by_username(session, username)
    if person is None:
        raise NotFound(f"There is nobody with the name {username!r}.")
    return person


def checked_email(raw: str) -> str | None:
    """The address, None if it is empty; raises `Refused` if nobody could have it."""
    email = raw[: _LONGEST_EMAIL + 2].strip()
    if not email:
        return None
    if len(email) > _LONGEST_EMAIL or not email.isprintable() or not _EMAIL.fullmatch(email):
        raise Refused(
            "This is not an e-mail address.", hint="It has the form name@institute.example."
        )
    return email
