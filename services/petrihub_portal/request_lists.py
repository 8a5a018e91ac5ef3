"""Requests as pages and API show them: with the words for what was asked, and by whom."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.errors import NotFound, PetriHubError
from petrihub_core.records import Person, Request
from petrihub_portal import asking
from petrihub_portal.asking import Answer, State
from petrihub_portal.hub_groups import follow
from petrihub_portal.visit import Visit
from petrihub_portal.wishes import Kind, Names, wish_for


@dataclass(frozen=True)
class Shown:
    """A request with the words for it and its asker's name."""

    row: Request
    title: str
    person: str


@dataclass(frozen=True)
class Unanswered:
    """Why an answer was not taken, and what had been typed."""

    at: str = ""
    said: str = ""
    words: str = ""
    status: int = 200

    @classmethod
    def of(cls, request_id: str, words: str, error: PetriHubError) -> "Unanswered":
        """The problem that answering this request had."""
        return cls(request_id, error.jupyterhub_message, words[: asking.LONGEST], error.status)

    def elsewhere(self, waiting: Sequence[Shown]) -> str:
        """What is to be said at the head of the page, since the request is not on it any more."""
        return "" if any(each.row.id == self.at for each in waiting) else self.said


async def shown(
    visit: Visit, session: AsyncSession, rows: Sequence[tuple[Request, str]]
) -> list[Shown]:
    """These requests with their words; `rows` bear the names of the askers."""
    names = await Names.read(session, visit.portal.deployment)
    titles = await names.titles_of(session, [row for row, _ in rows])
    return [Shown(row, titles[row.id], person) for row, person in rows]


async def mine(visit: Visit, session: AsyncSession, limit: int, offset: int) -> list[Shown]:
    """The visitor's own requests, newest first."""
    rows = await session.scalars(
        select(Request)
        .where(Request.person_id == visit.me.id)
        .order_by(Request.created_at.desc(), Request.id)
        .limit(limit)
        .offset(offset)
    )
    return await shown(visit, session, [(row, visit.me.username) for row in rows])


async def everybodys(
    visit: Visit, session: AsyncSession, *, open_: bool, limit: int, offset: int
) -> list[Shown]:
    """Open ones oldest first, as they wait; answered ones newest first."""
    query = select(Request, Person.username).join(Person, Person.id == Request.person_id)
    if open_:
        query = query.where(Request.state == State.OPEN).order_by(Request.created_at, Request.id)
    else:
        query = query.where(Request.state != State.OPEN).order_by(
            Request.answered_at.desc(), Request.id
        )
    rows = await session.execute(query.limit(limit).offset(offset))
    return await shown(visit, session, [(row, name) for row, name in rows])


async def for_group(visit: Visit, session: AsyncSession, group_name: str) -> list[Shown]:
    """Who waits to be let into this group, oldest first."""
    rows = await session.execute(
        select(Request, Person.username)
        .join(Person, Person.id == Request.person_id)
        .where(
            Request.state == State.OPEN,
            Request.kind == Kind.GROUP,
            Request.subject == group_name,
        )
        .order_by(Request.created_at, Request.id)
    )
    return await shown(visit, session, [(row, name) for row, name in rows])


async def ask(visit: Visit, kind: str, subject: str, reason: str) -> Shown:
    """Ask in the visitor's name; what was asked for."""
    async with visit.portal.database.session() as session:
        wish = await wish_for(session, visit.portal.deployment, visit.me, kind, subject)
        row = await asking.ask(session, visit.actor, visit.me, wish, reason)
    return Shown(row, wish.title, visit.me.username)


async def answer(visit: Visit, request_id: str, given: Answer) -> Shown:
    """Answer in the visitor's name; the request as it is now."""
    async with visit.portal.database.session() as session:
        row = await session.get(Request, request_id)
        if row is None:
            raise NotFound("There is no such request.", hint="Look at the list again.")
        names = await Names.read(session, visit.portal.deployment)
        title = (await names.titles_of(session, [row]))[row.id]
        row = await asking.answer(session, visit.actor, request_id, given, title)
        person = await session.get_one(Person, row.person_id)
    if given.approve and row.kind == Kind.GROUP:
        await follow(visit.portal, {row.subject})
    return Shown(row, title, person.username)
