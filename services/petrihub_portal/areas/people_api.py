"""People and invitations over REST."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from petrihub_authenticators import accounts, links
from petrihub_authenticators.accounts import Newcomer
from petrihub_core import groups
from petrihub_core.records import Person
from petrihub_core.roles import RESEARCHER, Permission
from petrihub_portal import directory
from petrihub_portal.areas.people import public_url
from petrihub_portal.directory import PeopleFilter, PersonLine
from petrihub_portal.endings import end
from petrihub_portal.hub_groups import follow
from petrihub_portal.routing import Area
from petrihub_portal.storage import Usage, usage_model
from petrihub_portal.visit import CurrentVisit, Visit

area = Area("People")

Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
PersonName = Annotated[str, Path(max_length=128)]
_Names = Annotated[list[Annotated[str, Field(max_length=32)]], Field(max_length=100)]


class PersonModel(BaseModel):
    """Somebody who may sign in. `groups` are names of groups, `used` is counted in the home."""

    name: str
    email: str | None
    state: Literal["active", "invited", "deactivated"]
    roles: list[str]
    groups: list[str]
    created_at: datetime
    last_seen_at: datetime | None
    used: Usage | None


class PeopleQuery(BaseModel):
    """Which people, and which part of the list."""

    model_config = ConfigDict(extra="forbid")

    search: str = Field("", max_length=64)
    role: str = Field("", max_length=32)
    group: str = Field("", max_length=32)
    state: Literal["", "active", "invited", "deactivated"] = ""
    limit: int = Field(50, ge=1, le=200)
    offset: int = Field(0, ge=0, le=1_000_000)


class PeopleList(BaseModel):
    """People by name."""

    items: list[PersonModel]
    total: int


class InvitationModel(BaseModel):
    """An open invitation that is made out to no name."""

    id: str
    email: str | None
    role: str
    created_by: str
    created_at: datetime
    expires_at: datetime


class InvitationList(BaseModel):
    """Open invitations, the newest first."""

    items: list[InvitationModel]
    total: int


class NewcomerBody(BaseModel):
    """Somebody to invite. Without a name they choose one themselves."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("", max_length=128)
    email: str = Field("", max_length=254)
    role: str = Field(RESEARCHER, max_length=32)
    groups: _Names = []


class LinkModel(BaseModel):
    """A one-time link; it is told only this once."""

    link: str


class PersonBody(BaseModel):
    """What to change; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    email: str | None = Field(None, max_length=254)


class RolesBody(BaseModel):
    """Exactly these roles; none: a researcher."""

    model_config = ConfigDict(extra="forbid")

    roles: _Names


class GroupsBody(BaseModel):
    """Exactly these groups, by name."""

    model_config = ConfigDict(extra="forbid")

    groups: _Names


def _model(line: PersonLine) -> PersonModel:
    person = line.person
    return PersonModel(
        name=person.username,
        email=person.email,
        state=line.state.value,
        roles=list(line.roles),
        groups=[name for name, _ in line.groups],
        created_at=person.created_at,
        last_seen_at=person.last_seen_at,
        used=usage_model(line.used),
    )


async def _told(visit: Visit, person: Person) -> PersonModel:
    async with visit.portal.database.reading() as session:
        fresh = await accounts.find(session, person.username)
        return _model(await directory.one_person(session, fresh))


@area.api("GET", "/people", needs=Permission.PEOPLE_READ)
async def list_people(visit: CurrentVisit, query: Annotated[PeopleQuery, Query()]) -> PeopleList:
    """People by name; `search` looks in names and e-mail addresses."""
    wanted = PeopleFilter(
        search=query.search, role=query.role, group=query.group, state=query.state
    )
    async with visit.portal.database.reading() as session:
        found = await directory.people(session, wanted, limit=query.limit, offset=query.offset)
    return PeopleList(items=[_model(line) for line in found.items], total=found.total)


@area.api("POST", "/people", needs=Permission.PEOPLE_WRITE, status_code=201)
async def invite(visit: CurrentVisit, body: NewcomerBody) -> LinkModel:
    """Invite somebody; with a name, the account is there at once."""
    who = Newcomer(name=body.name, email=body.email, role=body.role, groups=tuple(body.groups))
    async with visit.portal.database.session() as session:
        code = await accounts.add(session, visit.actor, who)
    if who.name:
        await follow(visit.portal, set(who.groups))
    return LinkModel(link=links.address_of(public_url(visit), code))


@area.api("GET", "/invitations", needs=Permission.PEOPLE_READ)
async def list_invitations(
    visit: CurrentVisit, limit: Limit = 50, offset: Offset = 0
) -> InvitationList:
    """Open invitations that are made out to no name, the newest first."""
    async with visit.portal.database.reading() as session:
        found = await directory.invitations(session, limit=limit, offset=offset)
    items = [InvitationModel.model_validate(row, from_attributes=True) for row in found.items]
    return InvitationList(items=items, total=found.total)


@area.api("DELETE", "/invitations/{link_id}", needs=Permission.PEOPLE_WRITE, status_code=204)
async def withdraw(visit: CurrentVisit, link_id: Annotated[str, Path(max_length=64)]) -> None:
    """Withdraw an open invitation."""
    async with visit.portal.database.session() as session:
        await accounts.withdraw(session, visit.actor, link_id)


@area.api("GET", "/people/{name}", needs=Permission.PEOPLE_READ)
async def one_person(visit: CurrentVisit, name: PersonName) -> PersonModel:
    """One person."""
    async with visit.portal.database.reading() as session:
        return _model(await directory.one_person(session, await accounts.find(session, name)))


@area.api("PATCH", "/people/{name}", needs=Permission.PEOPLE_WRITE)
async def change(visit: CurrentVisit, name: PersonName, body: PersonBody) -> PersonModel:
    """Write down another e-mail address; an empty one is forgotten. Names never change."""
    async with visit.portal.database.session() as session:
        person = await accounts.find(session, name)
        if body.email is not None:
            person = await accounts.set_email(session, visit.actor, name, body.email)
    return await _told(visit, person)


@area.api("PUT", "/people/{name}/roles", needs=Permission.ROLES_WRITE)
async def set_roles(visit: CurrentVisit, name: PersonName, body: RolesBody) -> PersonModel:
    """Give exactly these roles."""
    async with visit.portal.database.session() as session:
        person = await accounts.change_roles(session, visit.actor, name, body.roles)
    return await _told(visit, person)


@area.api("PUT", "/people/{name}/groups", needs=Permission.GROUPS_WRITE)
async def set_groups(visit: CurrentVisit, name: PersonName, body: GroupsBody) -> PersonModel:
    """Make the person a member of exactly these groups."""
    async with visit.portal.database.session() as session:
        person = await accounts.find(session, name)
        changed = await groups.set_groups(session, visit.actor, person, body.groups)
    await follow(visit.portal, changed)
    return await _told(visit, person)


@area.api("POST", "/people/{name}/link", needs=Permission.PEOPLE_WRITE, status_code=201)
async def new_link(visit: CurrentVisit, name: PersonName) -> LinkModel:
    """Make a link with which the person sets a password; the one before stops working."""
    async with visit.portal.database.session() as session:
        code = await accounts.new_link(session, visit.actor, name)
    return LinkModel(link=links.address_of(public_url(visit), code))


@area.api("POST", "/people/{name}/deactivate", needs=Permission.PEOPLE_WRITE)
async def deactivate(visit: CurrentVisit, name: PersonName) -> PersonModel:
    """Shut the person out: sign-ins, tokens and workspaces end, within a minute at the latest."""
    async with visit.portal.database.session() as session:
        person = await accounts.deactivate(session, visit.actor, name)
    await end(visit.portal, person.id, person.username, visit.actor.name)
    return await _told(visit, person)


@area.api("POST", "/people/{name}/activate", needs=Permission.PEOPLE_WRITE)
async def activate(visit: CurrentVisit, name: PersonName) -> PersonModel:
    """Let the person in again."""
    async with visit.portal.database.session() as session:
        person = await accounts.activate(session, visit.actor, name)
    return await _told(visit, person)
