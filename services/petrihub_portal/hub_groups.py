"""The hub's groups follow ours: our table is the truth, the hub's is repaired.

Idempotent: `sync_group` may run twice or in two replicas; what it finds in step it leaves alone.
"""

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.errors import Conflict, NotFound, PetriHubError
from petrihub_core.logs import get_logger
from petrihub_core.records import Group, GroupMember, Person
from petrihub_portal.context import Portal

log = get_logger(__name__)

_AT_ONCE = 100  # people in one call: the hub's loop does nothing else meanwhile
_PAGE = 200


async def sync_group(portal: Portal, name: str) -> None:
    """Bring the hub's group of this name in step, or delete it if we have none."""
    async with portal.database.reading() as session:
        wanted = await _members(session, name)
    if wanted is None:
        try:
            await portal.hub.call("DELETE", "groups", name)
        except NotFound:
            return
        return
    try:
        known: dict[str, Any] = await portal.hub.call("GET", "groups", name)
    except NotFound:
        known = {"users": []}
        try:
            await portal.hub.call("POST", "groups", name, body={})
        except Conflict:
            log.info("somebody else made the hub's group first", group=name)
    there = set(known["users"])
    for names in _batches(wanted - there):
        try:
            # the hub knows people from their first sign-in; members it must know before
            await portal.hub.call("POST", "users", body={"usernames": names})
        except Conflict:
            log.debug("the hub knows them all", group=name)
        await portal.hub.call("POST", "groups", name, "users", body={"users": names})
    for names in _batches(there - wanted):
        await portal.hub.call("DELETE", "groups", name, "users", body={"users": names})


async def follow(portal: Portal, names: set[str]) -> None:
    """`sync_group` after a change; what cannot be done now, the next repair does."""
    for name in sorted(names):
        try:
            await sync_group(portal, name)
        except PetriHubError as exc:
            log.warning("the hub's group is behind for now", group=name, cause=exc.message)


async def repair(portal: Portal) -> int:
    """Bring all groups in step; how many were not."""
    ours: dict[str, set[str]] = {}
    async with portal.database.reading() as session:
        for name in await session.scalars(select(Group.name)):
            ours[name] = set()
        for name, person in await session.execute(
            select(Group.name, Person.username)
            .join(GroupMember, GroupMember.group_id == Group.id)
            .join(Person, Person.id == GroupMember.person_id)
        ):
            ours[name].add(person)
    theirs: dict[str, set[str]] = {}
    while batch := await portal.hub.call("GET", "groups", offset=len(theirs), limit=_PAGE):
        theirs.update((each["name"], set(each["users"])) for each in batch)
        if len(batch) < _PAGE:
            break
    drifted = {name for name in ours | theirs if ours.get(name) != theirs.get(name)}
    await follow(portal, drifted)
    return len(drifted)


async def _members(session: AsyncSession, name: str) -> set[str] | None:
    if await session.scalar(select(Group.id).where(Group.name == name)) is None:
        return None
    rows = await session.scalars(
        select(Person.username)
        .join(GroupMember, GroupMember.person_id == Person.id)
        .join(Group, Group.id == GroupMember.group_id)
        .where(Group.name == name)
    )
    return set(rows)


def _batches(names: set[str]) -> list[list[str]]:
    ordered = sorted(names)
    return [ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE)]
