"""Asking for more, answering, and what I may do and why not: the pages."""

from datetime import UTC, datetime, time
from typing import Annotated

from fastapi import Path, Query
from fastapi.responses import Response
from sqlalchemy import func, select

from petrihub_core.errors import PetriHubError, Refused
from petrihub_core.records import Request, now
from petrihub_core.roles import Permission
from petrihub_portal import asking, request_lists
from petrihub_portal.asking import Answer, State
from petrihub_portal.pages import go, page
from petrihub_portal.request_lists import Unanswered
from petrihub_portal.routing import Area, Open
from petrihub_portal.visit import CurrentVisit, Visit, form_of
from petrihub_portal.wishes import rights_of

area = Area("Requests")

_PAGE = 50
_Id = Annotated[str, Path(pattern="^[0-9a-z]{1,32}$")]
_Offset = Annotated[int, Query(ge=0, le=100_000)]


# --- pages of who asks --------------------------------------------------------------------


@area.page("GET", "/rights", needs=Open.SIGNED_IN)
async def rights(visit: CurrentVisit) -> Response:
    """What I may do, and why not the rest."""
    async with visit.portal.database.reading() as session:
        mine = await rights_of(session, visit.portal.deployment, visit.me)
    return await page(visit, "rights.html", rights=mine)


@area.page("GET", "/requests", needs=Open.SIGNED_IN)
async def requests(visit: CurrentVisit, offset: _Offset = 0) -> Response:
    """My requests, newest first."""
    async with visit.portal.database.reading() as session:
        mine = await request_lists.mine(visit, session, _PAGE + 1, offset)
    more = len(mine) > _PAGE
    return await page(
        visit, "requests.html", requests=mine[:_PAGE], following=offset + _PAGE if more else 0
    )


@area.page("GET", "/requests/new", needs=Open.SIGNED_IN)
async def new(
    visit: CurrentVisit,
    kind: Annotated[str, Query(max_length=16)] = "",
    subject: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """The form; what is asked for may stand in the address."""
    return await _form(visit, chosen=f"{kind}:{subject}")


async def _form(
    visit: Visit, *, chosen: str, reason: str = "", problem: str = "", status: int = 200
) -> Response:
    async with visit.portal.database.reading() as session:
        mine = await rights_of(session, visit.portal.deployment, visit.me)
    return await page(
        visit,
        "request_new.html",
        status=status,
        wishes=mine.wishes(),
        chosen=chosen,
        reason=reason,
        error=problem,
    )


@area.page("POST", "/requests/new", needs=Open.SIGNED_IN)
async def send(visit: CurrentVisit) -> Response:
    """Ask."""
    form = await form_of(visit)
    chosen, reason = form.one("wish"), form.one("reason")
    kind, _, subject = chosen.partition(":")
    try:
        asked = await request_lists.ask(visit, kind, subject, reason)
    except PetriHubError as exc:
        return await _form(
            visit,
            chosen=chosen[:100],
            reason=reason[: asking.LONGEST],
            problem=exc.jupyterhub_message,
            status=exc.status,
        )
    return go(
        visit, "requests", said=f"You asked for {asked.title}. You will read the answer here."
    )


@area.page("POST", "/requests/{request_id}/withdraw", needs=Open.SIGNED_IN)
async def withdraw(visit: CurrentVisit, request_id: _Id) -> Response:
    """Take an open one back."""
    async with visit.portal.database.session() as session:
        await asking.withdraw(session, visit.actor, visit.me, request_id)
    return go(visit, "requests", said="The request is taken back.")


# --- pages of who answers -----------------------------------------------------------------


@area.page("GET", "/admin/requests", needs=Permission.REQUESTS_ANSWER)
async def to_answer(visit: CurrentVisit, offset: _Offset = 0) -> Response:
    """Open ones first, then what was answered."""
    return await _to_answer(visit, offset, Unanswered())


async def _to_answer(visit: Visit, offset: int, problem: Unanswered) -> Response:
    async with visit.portal.database.reading() as session:
        waiting = await request_lists.everybodys(visit, session, open_=True, limit=_PAGE, offset=0)
        count = await session.scalar(
            select(func.count()).select_from(Request).where(Request.state == State.OPEN)
        )
        done = await request_lists.everybodys(
            visit, session, open_=False, limit=_PAGE + 1, offset=offset
        )
    return await page(
        visit,
        "admin_requests.html",
        status=problem.status,
        waiting=waiting,
        count=count or 0,
        done=done[:_PAGE],
        following=offset + _PAGE if len(done) > _PAGE else 0,
        problem=problem,
        error=problem.elsewhere(waiting),
        today=now().date().isoformat(),
    )


@area.page("POST", "/admin/requests/{request_id}", needs=Permission.REQUESTS_ANSWER)
async def answer(visit: CurrentVisit, request_id: _Id) -> Response:
    """Approve or decline."""
    form = await form_of(visit)
    approve = form.one("answer") == "approve"
    words = form.one("words")
    try:
        until = _end_of_day(form.one("until"))
        given = Answer(approve=approve, words=words, until=until)
        shown = await request_lists.answer(visit, request_id, given)
    except PetriHubError as exc:
        return await _to_answer(visit, 0, Unanswered.of(request_id, words, exc))
    done = "has" if approve else "does not get"
    return go(visit, "admin/requests", said=f"{shown.person} {done} {shown.title}, and is told.")


def _end_of_day(text: str) -> datetime | None:
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError as exc:
        raise Refused("This is not a day.", hint="Write it as 2026-12-31.") from exc
    return datetime.combine(day, time(23, 59, 59), UTC)
