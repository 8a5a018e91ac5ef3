"""What administrators do with people. Every change is checked and audited in its transaction.

Promises: nobody acts on somebody who may do more than they; there is always a super admin left;
nobody locks themselves out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_authenticators import links, throttle
from petrihub_authenticators.links import Kind
from petrihub_core import audit
from petrihub_core.errors import Conflict, NotFound, Refused
from petrihub_core.names import normalise_username
from petrihub_core.people import LOCAL_ISSUER, by_username, person_for
from petrihub_core.records import Account, Person, SignInLink, new_id
from petrihub_core.roles import (
    RESEARCHER,
    Actor,
    Permission,
    keep_one_super_admin,
    require_grantable,
    require_reach,
    set_roles,
)

OPERATOR = "operator"  # the actor of what is done on the command line


@dataclass(frozen=True)
class PersonLine:
    """One line of the list of people."""

    person: Person
    has_password: bool

    @property
    def state(self) -> str:
        """In one word or two: "deactivated", "invited" or "active"."""
        if not self.person.active:
            return "deactivated"
        return "active" if self.has_password or self.person.issuer != LOCAL_ISSUER else "invited"


async def everyone(session: AsyncSession) -> Sequence[PersonLine]:
    """All people by name."""
    rows = await session.execute(
        select(Person, Account.person_id)
        .outerjoin(Account, Account.person_id == Person.id)
        .order_by(Person.username)
    )
    return [PersonLine(person, account is not None) for person, account in rows]


async def add(session: AsyncSession, actor: Actor, *, name: str, role: str) -> str:
    """The code of an invitation; with a name, the account is there at once and waits for it.

    Raises `Refused` for a wrong name or role, `NotAllowed` for a role beyond the actor's own,
    `Conflict` if the name is taken.
    """
    actor.require(Permission.PEOPLE_WRITE)
    if role != RESEARCHER:
        actor.require(Permission.ROLES_WRITE)
        require_grantable(actor, [role])
    if not name.strip():
        return await links.make(session, Kind.INVITE, by=actor.name, role=role)
    username = normalise_username(name)
    if await by_username(session, username) is not None:
        raise Conflict(f"There is already somebody with the name {username!r}.")
    person = await person_for(session, LOCAL_ISSUER, new_id(), username=username)
    await audit.record(
        session, actor=actor.name, action="account.made", target=username, detail={"role": role}
    )
    if role != RESEARCHER:
        await set_roles(session, actor, person, [role])
    return await links.make(session, Kind.INVITE, by=actor.name, role=role, username=username)


async def new_link(session: AsyncSession, actor: Actor, name: str) -> str:
    """The code with which this person sets a (new) password; earlier ones stop working."""
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


async def deactivate(session: AsyncSession, actor: Actor, name: str) -> Person:
    """The person, who may not enter any more; their open links are closed."""
    actor.require(Permission.PEOPLE_WRITE)
    person = await find(session, name)
    if person.username == actor.name:
        raise Conflict(
            "You cannot deactivate yourself.", hint="Another administrator can do that for you."
        )
    await require_reach(session, actor, person)
    await keep_one_super_admin(session, person)
    person.active = False
    await links.close_all_of(session, person.username)
    await audit.record(
        session, actor=actor.name, action="person.deactivated", target=person.username
    )
    return person


async def activate(session: AsyncSession, actor: Actor, name: str) -> Person:
    """The person, who may enter again with the password they had."""
    actor.require(Permission.PEOPLE_WRITE)
    person = await find(session, name)
    await require_reach(session, actor, person)
    person.active = True
    await audit.record(session, actor=actor.name, action="person.activated", target=person.username)
    return person


async def withdraw(session: AsyncSession, actor: Actor, link_id: str) -> None:
    """Close an open invitation."""
    actor.require(Permission.PEOPLE_WRITE)
    await links.revoke(session, link_id, by=actor.name)


async def invitations(session: AsyncSession) -> Sequence[SignInLink]:
    """Invitations that nobody has used yet and that are made out to no name."""
    return await links.open_invitations(session)


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
