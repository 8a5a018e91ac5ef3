"""Requests: somebody asks for more, somebody answers, and what was approved takes effect.

Promises: of two who answer at once one wins and the other is told; nobody gives by an answer what
they may not give otherwise; the answer is in the asker's feed and in the audit trail.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit, feed, groups, settings
from petrihub_core.errors import Conflict, NotFound, Refused
from petrihub_core.feed import Line
from petrihub_core.records import (
    Allowance,
    Group,
    GroupMember,
    Notification,
    Person,
    Request,
    RoleGrant,
    now,
)
from petrihub_core.roles import ROLES, Actor, Permission
from petrihub_core.settings.pages import LimitsSettings
from petrihub_core.web import PORTAL_PREFIX
from petrihub_portal.wishes import Kind, Wish

LONGEST = 1000  # characters of a reason or an answer


class State(StrEnum):
    """Where a request is."""

    OPEN = "open"
    APPROVED = "approved"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What whoever answers says; `until` ends what is given, None: it does not end."""

    approve: bool
    words: str = ""
    until: datetime | None = None


async def ask(
    session: AsyncSession, actor: Actor, person: Person, wish: Wish, reason: str
) -> Request:
    """Ask for `wish`; everybody who may answer is told.

    Raises `Refused` without a reason, `Conflict` for what was asked already or for too many.
    """
    reason = _words(reason, "reason", "Say in a sentence what you need it for.")
    # one after the other: the limit counts what is committed
    await session.execute(select(Person.id).where(Person.id == person.id).with_for_update())
    mine = (Request.person_id == person.id, Request.state == State.OPEN)
    if await session.scalar(
        select(Request.id).where(*mine, Request.kind == wish.kind, Request.subject == wish.subject)
    ):
        raise Conflict("You have asked for this already.", hint="It waits for an answer.")
    limit = (await settings.read(session, LimitsSettings)).requests_open
    if (await session.scalar(select(func.count()).select_from(Request).where(*mine)) or 0) >= limit:
        raise Conflict(
            f"You have {limit} open requests, which is as many as one person may have.",
            hint="Wait for an answer, or take one back.",
        )
    request = Request(person_id=person.id, kind=wish.kind, subject=wish.subject, reason=reason)
    session.add(request)
    await session.flush()
    await _note(session, actor, request, person, title=wish.title)
    for who, where in (await _answerers(session, request)).items():
        line = Line(
            kind=feed.Kind.ASKED,
            title=f"{person.username} asks for {wish.title}",
            text=reason,
            link=f"{PORTAL_PREFIX}{where}#request-{request.id}",
            link_title="Answer",
            key=_notice_key(request, who),
        )
        await feed.tell(session, who, line)
    return request


async def withdraw(session: AsyncSession, actor: Actor, person: Person, request_id: str) -> Request:
    """Take an open request of one's own back."""
    request = await _locked(session, request_id)
    if request.person_id != person.id:
        raise NotFound("There is no such request.", hint="Look at the list again.")
    _require_open(request)
    request.state, request.answered_at = State.WITHDRAWN, now()
    await _note(session, actor, request, person)
    await _notices_are_settled(session, request)
    return request


async def answer(
    session: AsyncSession, actor: Actor, request_id: str, given: Answer, title: str
) -> Request:
    """Approve, which takes effect at once, or decline with words; `title` is what was asked for.

    For administrators, and for a group also for who manages it.

    Raises `Conflict` if it was answered meanwhile, `NotAllowed` for more than the actor may give.
    """
    request = await _locked(session, request_id)
    if not await _manages_it(session, actor, request):
        actor.require(Permission.REQUESTS_ANSWER)
    _require_open(request)
    person = await session.get_one(Person, request.person_id)
    if given.approve:
        if given.until is not None and given.until <= now():
            raise Refused("The end lies in the past.", hint="Choose a later day.")
        if not person.active:
            raise Conflict("This person's account is closed.", hint="Decline the request.")
        request.answer = _storable(given.words)[:LONGEST]
        await _give(session, actor, request, person, given.until)
    else:
        hint = "Say why, so that the person knows what to do instead."
        request.answer = _words(given.words, "answer", hint)
    request.state = State.APPROVED if given.approve else State.DECLINED
    request.answered_by, request.answered_at = actor.name, now()
    ends = {"until": given.until.isoformat()} if given.until else {}
    await _note(session, actor, request, person, title=title, **ends)
    await _notices_are_settled(session, request)
    await feed.tell(session, person.id, _answer_line(request, title, given.until))
    return request


def _answer_line(request: Request, title: str, until: datetime | None) -> Line:
    approved = request.state == State.APPROVED
    ends = f"It is yours until {until:%Y-%m-%d}." if approved and until else ""
    return Line(
        kind=feed.Kind.GRANTED if approved else feed.Kind.DECLINED,
        title=f"You now have {title}" if approved else f"Your request for {title} was declined",
        text=" ".join(part for part in (ends, request.answer) if part),
        link=PORTAL_PREFIX if approved else f"{PORTAL_PREFIX}requests",
        link_title="Use it" if approved else "Look at your requests",
        key=f"answer:{request.id}",
    )


async def _give(
    session: AsyncSession,
    actor: Actor,
    request: Request,
    person: Person,
    until: datetime | None,
) -> None:
    if request.kind == Kind.GROUP:
        await _join(session, actor, request, person)
        return
    if request.kind == Kind.TIME:
        held = await session.get(Allowance, request.subject, with_for_update=True)
        if held is None or held.person_id != person.id:
            raise Conflict(
                "What was to be prolonged does not exist any more.", hint="Decline the request."
            )
    else:
        held = await session.scalar(
            select(Allowance)
            .where(
                Allowance.person_id == person.id,
                Allowance.kind == request.kind,
                Allowance.subject == request.subject,
            )
            .with_for_update()
        )
    if held is not None:
        held.until, held.granted_by, held.granted_at = until, actor.name, now()
        return
    session.add(
        Allowance(
            person_id=person.id,
            kind=request.kind,
            subject=request.subject,
            granted_by=actor.name,
            until=until,
        )
    )


async def _join(session: AsyncSession, actor: Actor, request: Request, person: Person) -> None:
    # who may not change groups must not do it by answering
    if not await _manages_it(session, actor, request):
        actor.require(Permission.GROUPS_WRITE)
    group = await session.scalar(select(Group).where(Group.name == request.subject))
    if group is None:
        raise Conflict("The group does not exist any more.", hint="Decline the request.")
    if await session.get(GroupMember, (group.id, person.id)) is None:
        await groups.join(session, actor, group, person)


async def _manages_it(session: AsyncSession, actor: Actor, request: Request) -> bool:
    """Whether it asks for a group that the actor manages, so that they may answer."""
    return request.kind == Kind.GROUP and await groups.manages(
        session, actor.person_id, request.subject
    )


async def _locked(session: AsyncSession, request_id: str) -> Request:
    # read anew: somebody else may have answered since this transaction first saw it
    request = await session.get(Request, request_id, with_for_update=True, populate_existing=True)
    if request is None:
        raise NotFound("There is no such request.", hint="Look at the list again.")
    return request


def _require_open(request: Request) -> None:
    if request.state == State.WITHDRAWN:
        raise Conflict("This request was taken back.", hint="Nothing is left to do.")
    if request.state != State.OPEN:
        raise Conflict(
            f"{request.answered_by} has answered this request already: it was {request.state}.",
            hint="Nothing was changed.",
        )


async def _answerers(session: AsyncSession, request: Request) -> dict[str, str]:
    """Who may answer, by id of the person, with the page where they do."""
    found: dict[str, str] = {}
    if request.kind == Kind.GROUP:
        managers = await session.scalars(
            select(GroupMember.person_id)
            .join(Group, Group.id == GroupMember.group_id)
            .join(Person, Person.id == GroupMember.person_id)
            .where(Group.name == request.subject, GroupMember.manager, Person.active)
        )
        found = dict.fromkeys(managers, f"groups/{request.subject}")
    roles = [role.id for role in ROLES.values() if Permission.REQUESTS_ANSWER in role.permissions]
    rows = await session.scalars(
        select(RoleGrant.person_id)
        .join(Person, Person.id == RoleGrant.person_id)
        .where(RoleGrant.role.in_(roles), Person.active)
        .distinct()
    )
    return found | dict.fromkeys(rows, "admin/requests")


def _notice_key(request: Request, person_id: str) -> str:
    return f"request:{request.id}:{person_id}"


async def _notices_are_settled(session: AsyncSession, request: Request) -> None:
    """Nobody else need read that there is something to answer."""
    keys = [_notice_key(request, who) for who in await _answerers(session, request)]
    await session.execute(
        update(Notification)
        .where(Notification.key.in_(keys), Notification.read_at.is_(None))
        .values(read_at=now())
    )


async def _note(
    session: AsyncSession, actor: Actor, request: Request, person: Person, **more: str
) -> None:
    what = "asked" if request.state == State.OPEN else str(request.state)
    await audit.record(
        session,
        actor=actor.name,
        action=f"request.{what}",
        target=f"{person.username}/{request.id}",
        detail={"kind": request.kind, "subject": request.subject, **more},
    )


def _words(raw: str, what: str, hint: str) -> str:
    words = _storable(raw)
    if not words:
        raise Refused(f"The {what} is missing.", hint=hint)
    if len(words) > LONGEST:
        raise Refused(f"The {what} is longer than {LONGEST} characters.", hint="Shorten it.")
    return words


def _storable(raw: str) -> str:
    # PostgreSQL takes no NUL in a text
    return raw.replace("\x00", "").strip()
