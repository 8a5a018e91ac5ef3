"""Groups: people who share storage, profiles and workspaces. Every change has its audit row.

Promises: whoever manages a group may add and take out plain members of that group, and say whether
people may ask to join it, and nothing else; no limits, no other managers. Everything beyond needs
`groups:write`. Of a group that is not open to requests nobody outside is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit
from petrihub_core.errors import Conflict, NotAllowed, NotFound, Refused
from petrihub_core.names import new_group_name
from petrihub_core.people import by_username
from petrihub_core.places import Kind
from petrihub_core.records import Document, Group, GroupMember, Person, now
from petrihub_core.roles import Actor, Permission
from petrihub_core.storage_records import StorageUsage

MOST_STORAGE_GIB = 1_000_000
MOST_WORKSPACES = 100
_LONGEST_TITLE = 64


@dataclass(frozen=True, kw_only=True)
class GroupSettings:
    """What an administrator sets of a group; None means that the group has no rule of its own."""

    title: str
    storage_gib: int | None = None
    workspaces_limit: int | None = None
    default_profile: str | None = None
    open_to_requests: bool = False


async def find(session: AsyncSession, name: str) -> Group:
    """The group with this name; raises `NotFound`."""
    group = await session.scalar(select(Group).where(Group.name == name))
    if group is None:
        raise NotFound("There is no such group.", hint="Look at the list of groups again.")
    return group


async def make(session: AsyncSession, actor: Actor, *, name: str, title: str) -> Group:
    """A new group without members; raises `Refused` for a wrong name, `Conflict` if it is taken."""
    actor.require(Permission.GROUPS_WRITE)
    name = new_group_name(name)
    group = Group(name=name, title=_checked_title(title or name))
    if await session.scalar(select(Group.id).where(Group.name == name)):
        raise Conflict(f"There is already a group {name!r}.", hint="Choose another name.")
    session.add(group)
    try:
        await session.flush()
    except IntegrityError as exc:  # two made it at the same moment
        raise Conflict(f"There is already a group {name!r}.", hint="Choose another name.") from exc
    await _note(session, actor, "group.made", group, {"title": group.title})
    return group


async def change(session: AsyncSession, actor: Actor, name: str, wanted: GroupSettings) -> Group:
    """Set title and limits; `default_profile` must be one that the caller knows to exist."""
    actor.require(Permission.GROUPS_WRITE)
    group = await find(session, name)
    _check_range(wanted.storage_gib, "storage", MOST_STORAGE_GIB, "GiB")
    _check_range(wanted.workspaces_limit, "number of workspaces", MOST_WORKSPACES, "")
    after = {
        "title": _checked_title(wanted.title),
        "storage_gib": wanted.storage_gib,
        "workspaces_limit": wanted.workspaces_limit,
        "default_profile": wanted.default_profile,
        "open_to_requests": wanted.open_to_requests,
    }
    detail: Document = {}
    for field, value in after.items():
        before = getattr(group, field)
        if before != value:
            setattr(group, field, value)
            detail[field] = f"{_word(before)} -> {_word(value)}"
    if detail:
        await session.flush()
        await _note(session, actor, "group.changed", group, detail)
    return group


async def open_to_requests(session: AsyncSession, actor: Actor, name: str, *, open_: bool) -> Group:
    """Let everybody see the group and ask to join it, or nobody any more."""
    group = await require_keeper(session, actor, name)
    if group.open_to_requests != open_:
        group.open_to_requests = open_
        await session.flush()
        detail: Document = {"open_to_requests": f"{_word(not open_)} -> {_word(open_)}"}
        await _note(session, actor, "group.changed", group, detail)
    return group


async def delete_group(session: AsyncSession, actor: Actor, name: str) -> None:
    """Delete the group; its members stay people, and the files of its shared folder stay too."""
    actor.require(Permission.GROUPS_WRITE)
    group = await find(session, name)
    await _keep_files(session, group)
    members = await session.scalars(
        select(GroupMember.person_id).where(GroupMember.group_id == group.id)
    )
    await _note(session, actor, "group.deleted", group, {"members": len(list(members))})
    await session.delete(group)
    await session.flush()


async def _keep_files(session: AsyncSession, group: Group) -> None:
    """Note whose folder it was: nobody has it any more, and nothing removes it."""
    row = await session.get(StorageUsage, (Kind.SHARED, group.id))
    if row is None:
        row = StorageUsage(kind=Kind.SHARED, subject=group.id)
        session.add(row)
    row.title, row.deleted_at = f"{group.title} ({group.name})", now()


async def add_member(session: AsyncSession, actor: Actor, group_name: str, username: str) -> Person:
    """Put somebody into the group; raises `Conflict` if they are in it."""
    group = await require_keeper(session, actor, group_name)
    person = await _active(session, username)
    if await session.get(GroupMember, (group.id, person.id)) is not None:
        raise Conflict(f"{person.username} is in {group.title} already.")
    await join(session, actor, group, person)
    return person


async def join(session: AsyncSession, actor: Actor, group: Group, person: Person) -> None:
    """Make the person a member, for callers that have asked whether the actor may."""
    session.add(GroupMember(group_id=group.id, person_id=person.id))
    await session.flush()
    await _note(session, actor, "group.member.added", group, {"person": person.username})


async def remove_member(
    session: AsyncSession, actor: Actor, group_name: str, username: str
) -> Person:
    """Take somebody out; only `groups:write` takes out a manager, everybody may leave."""
    group = await find(session, group_name)
    person = await by_username(session, username)
    member = await _membership(session, group, person)
    leaving = bool(person and person.id == actor.person_id)
    if not leaving:
        await require_keeper(session, actor, group_name)
    if person is None or member is None:
        raise NotFound("This person is not in the group.", hint="Look at the list again.")
    if member.manager and not leaving and Permission.GROUPS_WRITE not in actor.permissions:
        raise NotAllowed(
            f"{person.username} manages this group too, so you cannot take them out.",
            hint="Ask an administrator.",
        )
    await session.delete(member)
    await session.flush()
    await _note(session, actor, "group.member.removed", group, {"person": person.username})
    return person


async def set_manager(
    session: AsyncSession, actor: Actor, group_name: str, username: str, *, manager: bool
) -> Person:
    """Let a member manage the group, or not any more."""
    actor.require(Permission.GROUPS_WRITE)
    group = await find(session, group_name)
    person = await by_username(session, username)
    member = await _membership(session, group, person)
    if person is None or member is None:
        raise NotFound("This person is not in the group.", hint="Add them first.")
    if member.manager != manager:
        member.manager = manager
        await session.flush()
        action = "group.manager.made" if manager else "group.manager.ended"
        await _note(session, actor, action, group, {"person": person.username})
    return person


async def manages(session: AsyncSession, person_id: str, group_name: str) -> bool:
    """Whether the person manages the group of this name."""
    found = await session.scalar(
        select(GroupMember.manager)
        .join(Group, Group.id == GroupMember.group_id)
        .where(Group.name == group_name, GroupMember.person_id == person_id)
    )
    return bool(found)


async def require_keeper(session: AsyncSession, actor: Actor, group_name: str) -> Group:
    """The group, if the actor may change its members; raises `NotFound` to everybody else."""
    group = await find(session, group_name)
    if Permission.GROUPS_WRITE in actor.permissions:
        return group
    own = await session.get(GroupMember, (group.id, actor.person_id))
    if own is None:
        # to somebody who is not in it, a group is not even there
        raise NotFound("There is no such group.", hint="Look at the list of groups again.")
    if not own.manager:
        raise NotAllowed(
            "Only who manages this group changes its members.",
            hint="Ask one of the group's managers, or an administrator.",
        )
    return group


async def groups_named(session: AsyncSession, names: Sequence[str]) -> list[Group]:
    """The groups with these names, in their order; raises `Refused` for the first unknown one."""
    wanted = list(dict.fromkeys(names))
    rows = await session.scalars(select(Group).where(Group.name.in_(wanted)))
    known = {group.name: group for group in rows}
    for name in wanted:
        if name not in known:
            raise Refused(f"There is no group {name[:32]!r}.", hint="Make the group first.")
    return [known[name] for name in wanted]


async def set_groups(
    session: AsyncSession, actor: Actor, person: Person, names: Sequence[str]
) -> set[str]:
    """Make the person a member of exactly these groups; the names of those that changed."""
    actor.require(Permission.GROUPS_WRITE)
    wanted = {group.id: group for group in await groups_named(session, names)}
    rows = await session.scalars(
        select(Group).join(GroupMember).where(GroupMember.person_id == person.id)
    )
    before = {group.id: group for group in rows}
    for group_id in wanted.keys() - before.keys():
        await join(session, actor, wanted[group_id], person)
    for group_id in before.keys() - wanted.keys():
        mine = GroupMember.group_id == group_id, GroupMember.person_id == person.id
        await session.execute(delete(GroupMember).where(*mine))
        detail: Document = {"person": person.username}
        await _note(session, actor, "group.member.removed", before[group_id], detail)
    return {(wanted | before)[each].name for each in wanted.keys() ^ before.keys()}


async def _membership(
    session: AsyncSession, group: Group, person: Person | None
) -> GroupMember | None:
    return await session.get(GroupMember, (group.id, person.id)) if person else None


async def _active(session: AsyncSession, username: str) -> Person:
    person = await by_username(session, username.strip().casefold()[:32])
    if person is None or not person.active:
        raise NotFound(
            "There is nobody active with this name.", hint="Type the name with which they sign in."
        )
    return person


async def _note(
    session: AsyncSession, actor: Actor, action: str, group: Group, detail: Document
) -> None:
    await audit.record(
        session, actor=actor.name, action=action, target=f"group/{group.name}", detail=detail
    )


def _checked_title(raw: str) -> str:
    title = " ".join(raw.split())
    if not title or len(title) > _LONGEST_TITLE or not title.isprintable():
        raise Refused(
            "This is not a usable title.", hint=f"Use 1 to {_LONGEST_TITLE} readable characters."
        )
    return title


def _check_range(value: int | None, what: str, most: int, unit: str) -> None:
    if value is not None and not 1 <= value <= most:
        raise Refused(
            f"The {what} must be between 1 and {most:,} {unit}".rstrip() + ".",
            hint="Leave the field empty for no rule of the group's own.",
        )


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
