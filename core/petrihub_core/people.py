"""The people we know, keyed by (issuer, subject)."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.errors import Conflict
from petrihub_core.records import Person

LOCAL_ISSUER = "local"


async def by_username(session: AsyncSession, username: str) -> Person | None:
    """The person with this (normalised) name, active or not."""
    return await session.scalar(select(Person).where(Person.username == username))


async def person_for(session: AsyncSession, issuer: str, subject: str, *, username: str) -> Person:
    """The person behind (issuer, subject), made on first sight.

    Raises `Conflict` if somebody else already has the name.
    """
    known = await session.scalar(
        select(Person).where(Person.issuer == issuer, Person.subject == subject)
    )
    if known is not None:
        return known
    if await by_username(session, username) is not None:
        raise Conflict(f"The name {username!r} is taken.", hint="Choose another name.")
    person = Person(issuer=issuer, subject=subject, username=username)
    session.add(person)
    await session.flush()
    return person
