"""Asking for more, answering, and what I may do and why not: the REST API."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from petrihub_core.roles import Permission
from petrihub_portal import asking, request_lists
from petrihub_portal.asking import Answer
from petrihub_portal.request_lists import Shown
from petrihub_portal.routing import Area, Open
from petrihub_portal.visit import CurrentVisit
from petrihub_portal.wishes import Kind, Right, rights_of

area = Area("Requests")

RequestId = Annotated[str, Path(pattern="^[0-9a-z]{1,32}$")]
_Offset = Annotated[int, Query(ge=0, le=100_000)]
_Limit = Annotated[int, Query(ge=1, le=200)]


class WishModel(BaseModel):
    """What can be asked for."""

    kind: Kind
    subject: str
    title: str


class RightModel(BaseModel):
    """Something here; `refusal` is the rule that forbids it, empty if it is mine."""

    title: str
    words: str
    refusal: str
    until: datetime | None
    wish: WishModel | None


class RightsModel(BaseModel):
    """What I may do, and why not the rest."""

    profiles: list[RightModel]
    sizes: list[RightModel]
    apps: list[RightModel]
    groups: list[RightModel]


class RequestModel(BaseModel):
    """One request; `title` says in words what was asked for."""

    id: str
    person: str
    kind: str
    subject: str
    title: str
    reason: str
    state: str
    answer: str
    answered_by: str | None
    created_at: datetime
    answered_at: datetime | None


class RequestsModel(BaseModel):
    """Requests, in the order that the route states."""

    requests: list[RequestModel]


class NewRequest(BaseModel):
    """What is asked for, and why."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    subject: str = Field(min_length=1, max_length=64)
    reason: str = Field(min_length=1, max_length=asking.LONGEST)


class YesOrNo(BaseModel):
    """Approve, or decline with words."""

    model_config = ConfigDict(extra="forbid")

    approve: bool
    words: str = Field("", max_length=asking.LONGEST)


class NewAnswer(YesOrNo):
    """Approve, with an end if it shall have one, or decline with words."""

    until: AwareDatetime | None = None


def request_state(shown: Shown) -> RequestModel:
    """A request as the API tells it."""
    row = shown.row
    return RequestModel(
        id=row.id,
        person=shown.person,
        kind=row.kind,
        subject=row.subject,
        title=shown.title,
        reason=row.reason,
        state=row.state,
        answer=row.answer,
        answered_by=row.answered_by,
        created_at=row.created_at,
        answered_at=row.answered_at,
    )


def _rights(rights: Sequence[Right]) -> list[RightModel]:
    return [RightModel.model_validate(each, from_attributes=True) for each in rights]


@area.api("GET", "/rights", needs=Open.SIGNED_IN)
async def rights(visit: CurrentVisit) -> RightsModel:
    """What I may do, and why not the rest, in the order of the menu."""
    async with visit.portal.database.reading() as session:
        mine = await rights_of(session, visit.portal.deployment, visit.me)
    return RightsModel(
        profiles=_rights(mine.profiles),
        sizes=_rights(mine.sizes),
        apps=_rights(mine.apps),
        groups=_rights(mine.groups),
    )


@area.api("GET", "/requests", needs=Open.SIGNED_IN)
async def my_requests(
    visit: CurrentVisit, limit: _Limit = 50, offset: _Offset = 0
) -> RequestsModel:
    """My requests, newest first."""
    async with visit.portal.database.reading() as session:
        mine = await request_lists.mine(visit, session, limit, offset)
    return RequestsModel(requests=[request_state(each) for each in mine])


@area.api("POST", "/requests", needs=Open.SIGNED_IN, status_code=201)
async def new_request(visit: CurrentVisit, body: NewRequest) -> RequestModel:
    """Ask for something that `GET /rights` says can be asked for."""
    return request_state(await request_lists.ask(visit, body.kind, body.subject, body.reason))


@area.api("DELETE", "/requests/{request_id}", needs=Open.SIGNED_IN, status_code=204)
async def withdraw(visit: CurrentVisit, request_id: RequestId) -> None:
    """Take an open request of mine back."""
    async with visit.portal.database.session() as session:
        await asking.withdraw(session, visit.actor, visit.me, request_id)


@area.api("GET", "/admin/requests", needs=Permission.REQUESTS_ANSWER)
async def everybodys_requests(
    visit: CurrentVisit, answered: bool = False, limit: _Limit = 50, offset: _Offset = 0
) -> RequestsModel:
    """Open requests, oldest first; or what was answered, newest first."""
    async with visit.portal.database.reading() as session:
        found = await request_lists.everybodys(
            visit, session, open_=not answered, limit=limit, offset=offset
        )
    return RequestsModel(requests=[request_state(each) for each in found])


@area.api("POST", "/admin/requests/{request_id}/answer", needs=Permission.REQUESTS_ANSWER)
async def answer(visit: CurrentVisit, request_id: RequestId, body: NewAnswer) -> RequestModel:
    """Approve, which takes effect at once, or decline with words."""
    given = Answer(approve=body.approve, words=body.words, until=body.until)
    return request_state(await request_lists.answer(visit, request_id, given))
