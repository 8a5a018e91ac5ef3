"""Joining a group: whether people may ask, who asks, and the answer of who manages it."""

from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import groups
from petrihub_core.errors import NotFound, PetriHubError
from petrihub_core.records import Request
from petrihub_portal import request_lists
from petrihub_portal.areas.groups import require_own, show_own
from petrihub_portal.areas.groups_api import GroupModel, GroupName, group_state
from petrihub_portal.areas.requests_api import (
    RequestId,
    RequestModel,
    RequestsModel,
    YesOrNo,
    request_state,
)
from petrihub_portal.asking import Answer
from petrihub_portal.pages import go
from petrihub_portal.request_lists import Shown, Unanswered
from petrihub_portal.routing import Area, Open
from petrihub_portal.visit import CurrentVisit, Visit, form_of
from petrihub_portal.wishes import Kind

area = Area("Groups")


async def _answered(visit: Visit, name: str, request_id: str, given: Answer) -> Shown:
    """Answer a request for this group; `NotFound` for a request of anything else."""
    async with visit.portal.database.reading() as session:
        await groups.require_keeper(session, visit.actor, name)
        await _require_about(session, name, request_id)
    return await request_lists.answer(visit, request_id, given)


async def _require_about(session: AsyncSession, name: str, request_id: str) -> None:
    row = await session.get(Request, request_id)
    if row is None or (row.kind, row.subject) != (Kind.GROUP, name):
        raise NotFound("There is no such request.", hint="Look at the list again.")


@area.page("POST", "/groups/{name}/requests/{request_id}", needs=Open.SIGNED_IN)
async def answer_page(visit: CurrentVisit, name: str, request_id: RequestId) -> Response:
    """As who manages the group: let somebody in, or decline with words."""
    await require_own(visit, name)
    form = await form_of(visit)
    words, approve = form.one("words"), form.one("answer") == "approve"
    try:
        shown = await _answered(visit, name, request_id, Answer(approve=approve, words=words))
    except PetriHubError as exc:
        return await show_own(visit, name, problem=Unanswered.of(request_id, words, exc))
    done = "is in the group now" if approve else "does not join"
    return go(visit, f"groups/{name}", said=f"{shown.person} {done}, and is told.")


@area.page("POST", "/groups/{name}/open", needs=Open.SIGNED_IN)
async def set_open_page(visit: CurrentVisit, name: str) -> Response:
    """As who manages the group: let everybody ask to join, or nobody any more."""
    await require_own(visit, name)
    open_ = (await form_of(visit)).one("open") == "yes"
    try:
        async with visit.portal.database.session() as session:
            await groups.open_to_requests(session, visit.actor, name, open_=open_)
    except PetriHubError as exc:
        return await show_own(visit, name, error=exc)
    said = "Everybody may ask to join now." if open_ else "Nobody new may ask to join now."
    return go(visit, f"groups/{name}", said=said)


class OpenBody(BaseModel):
    """Whether everybody is told of the group and may ask to join."""

    model_config = ConfigDict(extra="forbid")

    open_to_requests: bool


@area.api("PATCH", "/groups/{name}", needs=Open.SIGNED_IN)
async def set_open(visit: CurrentVisit, name: GroupName, body: OpenBody) -> GroupModel:
    """Open or close the group to requests: for administrators, and for who manages it."""
    async with visit.portal.database.session() as session:
        await groups.open_to_requests(session, visit.actor, name, open_=body.open_to_requests)
    return await group_state(visit, name)


@area.api("GET", "/groups/{name}/requests", needs=Open.SIGNED_IN)
async def waiting(visit: CurrentVisit, name: GroupName) -> RequestsModel:
    """Who waits to be let in, oldest first: for administrators, and for who manages the group."""
    async with visit.portal.database.reading() as session:
        await groups.require_keeper(session, visit.actor, name)
        found = await request_lists.for_group(visit, session, name)
    return RequestsModel(requests=[request_state(each) for each in found])


@area.api("POST", "/groups/{name}/requests/{request_id}/answer", needs=Open.SIGNED_IN)
async def answer(
    visit: CurrentVisit, name: GroupName, request_id: RequestId, body: YesOrNo
) -> RequestModel:
    """Let somebody in or decline with words: for administrators, and for who manages the group."""
    given = Answer(approve=body.approve, words=body.words)
    return request_state(await _answered(visit, name, request_id, given))
