"""Groups and their members over REST."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from petrihub_core import groups
from petrihub_core.errors import NotFound
from petrihub_core.groups import MOST_STORAGE_GIB, MOST_WORKSPACES, GroupSettings
from petrihub_core.records import GroupMember
from petrihub_core.roles import Permission
from petrihub_portal import directory
from petrihub_portal.areas.groups import check_profile
from petrihub_portal.directory import GroupLine
from petrihub_portal.hub_groups import follow
from petrihub_portal.routing import Area, Open
from petrihub_portal.storage import Usage, usage_model
from petrihub_portal.visit import CurrentVisit, Visit

area = Area("Groups")

Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
GroupName = Annotated[str, Path(max_length=128)]
PersonName = Annotated[str, Path(max_length=128)]


class GroupModel(BaseModel):
    """A group. What is null has no rule of the group's own; `used` is counted in its folder."""

    name: str
    title: str
    members: int
    managers: list[str]
    storage_gib: int | None
    workspaces_limit: int | None
    default_profile: str | None
    open_to_requests: bool
    used: Usage | None


class GroupList(BaseModel):
    """Groups by title."""

    items: list[GroupModel]
    total: int


class NewGroupBody(BaseModel):
    """A group to make; its name never changes."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=128)
    title: str = Field("", max_length=64)


class GroupBody(BaseModel):
    """How a group shall be set, as a whole. The storage is shown; it is not enforced yet."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(max_length=64)
    storage_gib: int | None = Field(None, ge=1, le=MOST_STORAGE_GIB)
    workspaces_limit: int | None = Field(None, ge=1, le=MOST_WORKSPACES)
    default_profile: str | None = Field(None, max_length=32)
    open_to_requests: bool = Field(
        False, description="Whether everybody is told of it and may ask to join."
    )


class MemberModel(BaseModel):
    """Somebody in a group."""

    name: str
    manager: bool


class MemberList(BaseModel):
    """Managers first, then by name."""

    items: list[MemberModel]
    total: int


class ManagerBody(BaseModel):
    """Whether the member manages the group."""

    model_config = ConfigDict(extra="forbid")

    manager: bool


def _model(line: GroupLine) -> GroupModel:
    group = line.group
    return GroupModel(
        name=group.name,
        title=group.title,
        members=line.members,
        managers=line.managers,
        storage_gib=group.storage_gib,
        workspaces_limit=group.workspaces_limit,
        default_profile=group.default_profile,
        open_to_requests=group.open_to_requests,
        used=usage_model(line.used),
    )


async def group_state(visit: Visit, name: str) -> GroupModel:
    """The group of this name as the API tells it."""
    async with visit.portal.database.reading() as session:
        return _model(await directory.one_group(session, await groups.find(session, name)))


@area.api("GET", "/groups", needs=Permission.GROUPS_READ)
async def list_groups(
    visit: CurrentVisit,
    search: Annotated[str, Query(max_length=64)] = "",
    limit: Limit = 50,
    offset: Offset = 0,
) -> GroupList:
    """Groups by title; `search` looks in names and titles."""
    async with visit.portal.database.reading() as session:
        found = await directory.groups(session, search=search, limit=limit, offset=offset)
    return GroupList(items=[_model(line) for line in found.items], total=found.total)


@area.api("POST", "/groups", needs=Permission.GROUPS_WRITE, status_code=201)
async def make(visit: CurrentVisit, body: NewGroupBody) -> GroupModel:
    """Make a group."""
    async with visit.portal.database.session() as session:
        group = await groups.make(session, visit.actor, name=body.name, title=body.title)
    await follow(visit.portal, {group.name})
    return await group_state(visit, group.name)


@area.api("GET", "/groups/{name}", needs=Permission.GROUPS_READ)
async def one_group(visit: CurrentVisit, name: GroupName) -> GroupModel:
    """One group."""
    return await group_state(visit, name)


@area.api("PUT", "/groups/{name}", needs=Permission.GROUPS_WRITE)
async def change(visit: CurrentVisit, name: GroupName, body: GroupBody) -> GroupModel:
    """Set title, limits and default profile."""
    await check_profile(visit, body.default_profile)
    async with visit.portal.database.session() as session:
        await groups.change(session, visit.actor, name, GroupSettings(**body.model_dump()))
    return await group_state(visit, name)


@area.api("DELETE", "/groups/{name}", needs=Permission.GROUPS_WRITE, status_code=204)
async def delete(visit: CurrentVisit, name: GroupName) -> None:
    """Delete the group; its members stay people, and the files of its folder are kept."""
    async with visit.portal.database.session() as session:
        await groups.delete_group(session, visit.actor, name)
    await follow(visit.portal, {name})


async def _require_member_or_reader(visit: Visit, name: str) -> None:
    if visit.may(Permission.GROUPS_READ):
        return
    async with visit.portal.database.reading() as session:
        group = await groups.find(session, name)
        if await session.get(GroupMember, (group.id, visit.me.id)) is None:
            raise NotFound("There is no such group.", hint="You see the groups that you are in.")


@area.api("GET", "/groups/{name}/members", needs=Open.SIGNED_IN)
async def list_members(
    visit: CurrentVisit, name: GroupName, limit: Limit = 50, offset: Offset = 0
) -> MemberList:
    """Who is in a group that one is in, or that one may see as an administrator."""
    await _require_member_or_reader(visit, name)
    async with visit.portal.database.reading() as session:
        group = await groups.find(session, name)
        found = await directory.members(session, group, limit=limit, offset=offset)
    items = [MemberModel(name=each.person.username, manager=each.manager) for each in found.items]
    return MemberList(items=items, total=found.total)


@area.api("PUT", "/groups/{name}/members/{person}", needs=Open.SIGNED_IN, status_code=201)
async def add_member(visit: CurrentVisit, name: GroupName, person: PersonName) -> MemberModel:
    """Put somebody into the group: for administrators, and for who manages it."""
    async with visit.portal.database.session() as session:
        added = await groups.add_member(session, visit.actor, name, person)
    await follow(visit.portal, {name})
    return MemberModel(name=added.username, manager=False)


@area.api("DELETE", "/groups/{name}/members/{person}", needs=Open.SIGNED_IN, status_code=204)
async def remove_member(visit: CurrentVisit, name: GroupName, person: PersonName) -> None:
    """Take somebody out: for administrators and for who manages it; oneself always."""
    async with visit.portal.database.session() as session:
        await groups.remove_member(session, visit.actor, name, person)
    await follow(visit.portal, {name})


@area.api("PATCH", "/groups/{name}/members/{person}", needs=Permission.GROUPS_WRITE)
async def set_manager(
    visit: CurrentVisit, name: GroupName, person: PersonName, body: ManagerBody
) -> MemberModel:
    """Let a member manage the group, or end that."""
    async with visit.portal.database.session() as session:
        found = await groups.set_manager(session, visit.actor, name, person, manager=body.manager)
    return MemberModel(name=found.username, manager=body.manager)
