"""Looking at people and groups: lists with filters, one page at a time, with few queries each."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from sqlalchemy import ColumnElement, exists, func, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_authenticators import links
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.places import Kind, usages
from petrihub_core.records import Account, Group, GroupMember, Person, RoleGrant, SignInLink
from petrihub_core.roles import RESEARCHER
from petrihub_core.storage_records import StorageUsage

_LONGEST_SEARCH = 64
T = TypeVar("T")


class State(StrEnum):
    """Where somebody stands. Invited: has never signed in, since there is no password yet."""

    ACTIVE = "active"
    INVITED = "invited"
    DEACTIVATED = "deactivated"


@dataclass(frozen=True)
class PersonLine:
    """One person with what the list shows; `groups` are (name, title), `used` is of the home."""

    person: Person
    state: State
    roles: tuple[str, ...]
    groups: tuple[tuple[str, str], ...]
    used: StorageUsage | None = None


@dataclass(frozen=True, kw_only=True)
class PeopleFilter:
    """Which people are wanted; empty fields do not matter. `role` may be "researcher": none."""

    search: str = ""
    role: str = ""
    group: str = ""
    state: str = ""


@dataclass(frozen=True)
class Found(Generic[T]):
    """One page of a list, and how long the whole list is."""

    items: list[T]
    total: int


@dataclass(frozen=True)
class GroupLine:
    """One group with how many are in it; `used` is of its shared folder."""

    group: Group
    members: int
    managers: list[str] = field(default_factory=list)
    used: StorageUsage | None = None


@dataclass(frozen=True)
class MemberLine:
    """One member of a group."""

    person: Person
    manager: bool


_has_password = exists().where(Account.person_id == Person.id)
_signed_in = or_(Person.issuer != LOCAL_ISSUER, _has_password)


def _conditions(wanted: PeopleFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if search := wanted.search.strip()[:_LONGEST_SEARCH]:
        conditions.append(
            or_(
                Person.username.icontains(search, autoescape=True),
                Person.email.icontains(search, autoescape=True),
            )
        )
    if wanted.role == RESEARCHER:
        conditions.append(~exists().where(RoleGrant.person_id == Person.id))
    elif wanted.role:
        conditions.append(
            exists().where(RoleGrant.person_id == Person.id, RoleGrant.role == wanted.role)
        )
    if wanted.group:
        conditions.append(
            exists().where(
                GroupMember.person_id == Person.id,
                GroupMember.group_id == Group.id,
                Group.name == wanted.group,
            )
        )
    if wanted.state == State.DEACTIVATED:
        conditions.append(not_(Person.active))
    elif wanted.state in (State.ACTIVE, State.INVITED):
        conditions.append(Person.active.is_(True))
        conditions.append(_signed_in if wanted.state == State.ACTIVE else not_(_signed_in))
    return conditions


async def people(
    session: AsyncSession, wanted: PeopleFilter, *, limit: int, offset: int
) -> Found[PersonLine]:
    """The people who fit, by name."""
    conditions = _conditions(wanted)
    total = await session.scalar(select(func.count()).select_from(Person).where(*conditions))
    rows = await session.execute(
        select(Person, _signed_in)
        .where(*conditions)
        .order_by(Person.username)
        .limit(limit)
        .offset(offset)
    )
    return Found(await _with_roles_and_groups(session, [(p, bool(s)) for p, s in rows]), total or 0)


async def one_person(session: AsyncSession, person: Person) -> PersonLine:
    """The line of one person."""
    signed_in = await session.scalar(select(_signed_in).where(Person.id == person.id))
    return (await _with_roles_and_groups(session, [(person, bool(signed_in))]))[0]


async def _with_roles_and_groups(
    session: AsyncSession, rows: Sequence[tuple[Person, bool]]
) -> list[PersonLine]:
    ids = [person.id for person, _ in rows]
    roles: dict[str, list[str]] = defaultdict(list)
    for person_id, role in await session.execute(
        select(RoleGrant.person_id, RoleGrant.role)
        .where(RoleGrant.person_id.in_(ids))
        .order_by(RoleGrant.role)
    ):
        roles[person_id].append(role)
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for person_id, name, title in await session.execute(
        select(GroupMember.person_id, Group.name, Group.title)
        .join(Group, Group.id == GroupMember.group_id)
        .where(GroupMember.person_id.in_(ids))
        .order_by(Group.title)
    ):
        groups[person_id].append((name, title))
    used = await usages(session, Kind.HOME, ids)
    return [
        PersonLine(
            person,
            _state(person, signed_in),
            tuple(roles[person.id]),
            tuple(groups[person.id]),
            used.get(person.id),
        )
        for person, signed_in in rows
    ]


def _state(person: Person, signed_in: bool) -> State:
    if not person.active:
        return State.DEACTIVATED
    return State.ACTIVE if signed_in else State.INVITED


async def invitations(session: AsyncSession, *, limit: int, offset: int) -> Found[SignInLink]:
    """Open invitations that are made out to no name, the newest first."""
    query = links.open_invitations()
    total = await session.scalar(select(func.count()).select_from(query.subquery()))
    rows = await session.scalars(query.limit(limit).offset(offset))
    return Found(list(rows), total or 0)


async def groups(
    session: AsyncSession, *, search: str = "", limit: int, offset: int
) -> Found[GroupLine]:
    """Groups by title, with how many are in each."""
    conditions: list[ColumnElement[bool]] = []
    if search := search.strip()[:_LONGEST_SEARCH]:
        conditions.append(
            or_(
                Group.name.icontains(search, autoescape=True),
                Group.title.icontains(search, autoescape=True),
            )
        )
    total = await session.scalar(select(func.count()).select_from(Group).where(*conditions))
    rows = list(
        await session.scalars(
            select(Group)
            .where(*conditions)
            .order_by(Group.title, Group.name)
            .limit(limit)
            .offset(offset)
        )
    )
    return Found(await _with_members(session, rows), total or 0)


async def one_group(session: AsyncSession, group: Group) -> GroupLine:
    """The line of one group."""
    return (await _with_members(session, [group]))[0]


async def groups_of(session: AsyncSession, person_id: str) -> list[tuple[Group, bool]]:
    """The person's groups by title, and whether they manage each."""
    rows = await session.execute(
        select(Group, GroupMember.manager)
        .join(GroupMember, GroupMember.group_id == Group.id)
        .where(GroupMember.person_id == person_id)
        .order_by(Group.title, Group.name)
    )
    return [(group, manager) for group, manager in rows]


async def _with_members(session: AsyncSession, rows: Sequence[Group]) -> list[GroupLine]:
    ids = [group.id for group in rows]
    counts: dict[str, int] = {}
    for group_id, count in await session.execute(
        select(GroupMember.group_id, func.count())
        .where(GroupMember.group_id.in_(ids))
        .group_by(GroupMember.group_id)
    ):
        counts[group_id] = count
    managers: dict[str, list[str]] = defaultdict(list)
    for group_id, name in await session.execute(
        select(GroupMember.group_id, Person.username)
        .join(Person, Person.id == GroupMember.person_id)
        .where(GroupMember.group_id.in_(ids), GroupMember.manager)
        .order_by(Person.username)
    ):
        managers[group_id].append(name)
    used = await usages(session, Kind.SHARED, ids)
    return [
        GroupLine(group, counts.get(group.id, 0), managers[group.id], used.get(group.id))
        for group in rows
    ]


async def members(
    session: AsyncSession, group: Group, *, limit: int, offset: int
) -> Found[MemberLine]:
    """Who is in the group: managers first, then by name."""
    total = await session.scalar(
        select(func.count()).select_from(GroupMember).where(GroupMember.group_id == group.id)
    )
    rows = await session.execute(
        select(Person, GroupMember.manager)
        .join(GroupMember, GroupMember.person_id == Person.id)
        .where(GroupMember.group_id == group.id)
        .order_by(GroupMember.manager.desc(), Person.username)
        .limit(limit)
        .offset(offset)
    )
    return Found([MemberLine(person, manager) for person, manager in rows], total or 0)


async def group_choices(session: AsyncSession) -> list[tuple[str, str]]:
    """(name, title) of all groups by title, for fields in which one is chosen."""
    rows = await session.execute(select(Group.name, Group.title).order_by(Group.title, Group.name))
    return [(name, title) for name, title in rows]
