"""What a one-time link brings: a new account, or a new password, in one transaction."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_authenticators import links, throttle
from petrihub_authenticators.links import Kind
from petrihub_core import audit, groups
from petrihub_core.errors import Conflict, NotAllowed
from petrihub_core.names import new_username
from petrihub_core.people import LOCAL_ISSUER, by_username, person_for
from petrihub_core.records import Account, Group, Person, RoleGrant, SignInLink, new_id, now
from petrihub_core.roles import ROLES, Actor


@dataclass(frozen=True)
class Redeemed:
    """Who came in, and by which kind of link."""

    person: Person
    kind: Kind


async def redeem(session: AsyncSession, code: str, *, name: str, password_hash: str) -> Redeemed:
    """Use the link up and set the password; `name` is normalised, and ignored if the link has one.

    Raises in words if the link is closed or the name is taken; then the link stays open.
    """
    link = await links.take(session, code)
    kind = Kind(link.kind)
    if kind is Kind.RESET:
        person = await _known_person(session, link)
    else:
        person = await _new_person(session, link, name)
    account = await session.get(Account, person.id)
    if account is None:
        session.add(Account(person_id=person.id, password_hash=password_hash))
    else:
        account.password_hash, account.changed_at = password_hash, now()
    await throttle.forget(session, throttle.account_key(person.username))
    await audit.record(
        session,
        actor=person.username,
        action=f"link.{kind}.used",
        target=person.username,
        detail={"link": link.id, "role": link.role},
    )
    return Redeemed(person, kind)


async def _known_person(session: AsyncSession, link: SignInLink) -> Person:
    person = await by_username(session, link.username or "")
    if person is None or not person.active:
        raise NotAllowed("Your account was deactivated.", hint="Ask an administrator.")
    return person


async def _new_person(session: AsyncSession, link: SignInLink, name: str) -> Person:
    """The person that an invitation makes, or the one that an administrator made for it."""
    chosen = link.username or name
    waiting = await by_username(session, chosen)
    if waiting is not None:
        if link.username is None or await session.get(Account, waiting.id) is not None:
            raise Conflict(f"The name {chosen!r} is taken.", hint="Choose another name.")
        if not waiting.active:
            raise NotAllowed("Your account was deactivated.", hint="Ask an administrator.")
        return waiting
    try:
        person = await person_for(session, LOCAL_ISSUER, new_id(), username=new_username(chosen))
    except IntegrityError as exc:  # somebody chose the same name at the same moment
        raise Conflict(f"The name {chosen!r} is taken.", hint="Choose another name.") from exc
    person.email = link.email
    if link.role in ROLES:
        session.add(RoleGrant(person_id=person.id, role=link.role, granted_by=link.created_by))
    # a group that is gone by now is no reason to refuse the person
    for group in await session.scalars(select(Group).where(Group.id.in_(link.groups))):
        await groups.join(session, Actor(link.created_by), group, person)
    await session.flush()
    return person
