"""What administrators do with people. Every change is checked and audited in its transaction.

Promises: only an active administrator acts, whatever the hub still believes; there is always an
administrator left; nobody locks themselves out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_authenticators import links, throttle
from petrihub_authenticators.admission import ADMIN, ROLES
from petrihub_authenticators.links import Kind
from petrihub_core import audit
from petrihub_core.errors import Conflict, NotAllowed, NotFound, Refused
from petrihub_core.names import normalise_username
from petrihub_core.people import LOCAL_ISSUER, by_username, person_for
from petrihub_core.records import Account, Person, SignInLink, new_id

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


async def require_admin(session: AsyncSession, actor: str) -> None:
    """Raise `NotAllowed` unless `actor` is an active administrator at this moment."""
    person = await by_username(session, actor)
    if person is None or not person.active or person.role != ADMIN:
        raise NotAllowed(
            "Only administrators can manage people.", hint="Ask one if you need something changed."
        )


async def everyone(session: AsyncSession) -> Sequence[PersonLine]:
    """All people by name."""
    rows = await session.execute(
        select(Person, Account.person_id)
        .outerjoin(Account, Account.person_id == Person.id)
        .order_by(Person.username)
    )
    return [PersonLine(person, account is not None) for person, account in rows]


async def add(session: AsyncSession, actor: str, *, name: str, role: str) -> str:
    """The code of an invitation; with a name, the account is there at once and waits for it.

    Raises `Refused` for a wrong name or role, `Conflict` if the name is taken.
    """
    await require_admin(session, actor)
    if role not in ROLES:
        raise Refused("There is no such role.", hint=f"Choose one of: {', '.join(ROLES)}.")
    if not name.strip():
        return await links.make(session, Kind.INVITE, by=actor, role=role)
    username = normalise_username(name)
    if await by_username(session, username) is not None:
        raise Conflict(f"There is already somebody with the name {username!r}.")
    await person_for(session, LOCAL_ISSUER, new_id(), username=username, role=role)
    await audit.record(
        session, actor=actor, action="account.made", target=username, detail={"role": role}
    )
    return await links.make(session, Kind.INVITE, by=actor, role=role, username=username)


async def new_link(session: AsyncSession, actor: str, name: str) -> str:
    """The code with which this person sets a (new) password; earlier ones stop working."""
    await require_admin(session, actor)
    return await link_for(session, name, by=actor)


async def link_for(session: AsyncSession, name: str, *, by: str) -> str:
    """As `new_link`, for callers that have shown their right in another way (the command line)."""
    person = await _person(session, name)
    if not person.active:
        raise Conflict(f"{person.username} is deactivated.", hint="Activate the account first.")
    if person.issuer != LOCAL_ISSUER:
        raise Conflict(f"{person.username} has no password here; they sign in elsewhere.")
    known = await session.get(Account, person.id) is not None
    await throttle.forget(session, throttle.account_key(person.username))
    return await links.make(
        session,
        Kind.RESET if known else Kind.INVITE,
        by=by,
        role=person.role,
        username=person.username,
    )


async def set_role(session: AsyncSession, actor: str, name: str, role: str) -> Person:
    """The person with the new role; raises `Conflict` if no administrator would be left."""
    await require_admin(session, actor)
    admins = await _admins(session)
    person = await _person(session, name)
    if role not in ROLES:
        raise Refused("There is no such role.", hint=f"Choose one of: {', '.join(ROLES)}.")
    if role != ADMIN:
        _keep_one(admins, person)
    person.role = role
    await audit.record(
        session, actor=actor, action="person.role", target=person.username, detail={"role": role}
    )
    return person


async def deactivate(session: AsyncSession, actor: str, name: str) -> Person:
    """The person, who may not enter any more; their open links are closed."""
    await require_admin(session, actor)
    admins = await _admins(session)
    person = await _person(session, name)
    if person.username == actor:
        raise Conflict(
            "You cannot deactivate yourself.", hint="Another administrator can do that for you."
        )
    _keep_one(admins, person)
    person.active = False
    await links.close_all_of(session, person.username)
    await audit.record(session, actor=actor, action="person.deactivated", target=person.username)
    return person


async def activate(session: AsyncSession, actor: str, name: str) -> Person:
    """The person, who may enter again with the password they had."""
    await require_admin(session, actor)
    person = await _person(session, name)
    person.active = True
    await audit.record(session, actor=actor, action="person.activated", target=person.username)
    return person


async def withdraw(session: AsyncSession, actor: str, link_id: str) -> None:
    """Close an open invitation."""
    await require_admin(session, actor)
    await links.revoke(session, link_id, by=actor)


async def invitations(session: AsyncSession) -> Sequence[SignInLink]:
    """Invitations that nobody has used yet and that are made out to no name."""
    return await links.open_invitations(session)


async def _person(session: AsyncSession, name: str) -> Person:
    try:
        username = normalise_username(name)
    except Refused as exc:
        raise NotFound("There is nobody with this name.", hint="Look at the list again.") from exc
    person = await by_username(session, username)
    if person is None:
        raise NotFound(f"There is nobody with the name {username!r}.")
    return person


async def _admins(session: AsyncSession) -> Sequence[Person]:
    """All active administrators, locked: two who remove each other at once must wait in line."""
    rows = await session.scalars(
        select(Person)
        .where(Person.role == ADMIN, Person.active)
        .order_by(Person.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return list(rows)


def _keep_one(admins: Sequence[Person], leaving: Person) -> None:
    if [person.id for person in admins] == [leaving.id]:
        raise Conflict(
            f"{leaving.username} is the only administrator.",
            hint="Make somebody else an administrator first.",
        )
