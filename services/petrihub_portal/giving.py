"""Sharing something with others: whom a share is for, how long, how many, and its end.

The same rules for whatever is shared. Of a link only the SHA-256 of its code is kept.
"""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import settings
from petrihub_core.errors import Conflict, NotAllowed, NotFound, Refused, Throttled
from petrihub_core.feed import Line, tell
from petrihub_core.people import by_username
from petrihub_core.records import Group, GroupMember, Person, now
from petrihub_core.settings.pages import LimitsSettings
from petrihub_core.share_terms import ShareRow, in_force

LONGEST_HOURS = 366 * 24
_LINK_HOURS = 24  # of a link that names no expiry
_MOST_NEW = 200  # shares that one person may make in an hour


class With(StrEnum):
    """Whom a share is for."""

    PERSON = "person"
    GROUP = "group"
    LINK = "link"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What an owner asks for. `who` is the name of a person or group; `hours` None: no end.

    `mode` is one of the modes that this kind of thing is shared with.
    """

    kind: With
    mode: StrEnum
    who: str = ""
    hours: int | None = None


@dataclass(frozen=True, kw_only=True)
class Thing(Generic[ShareRow]):
    """What is shared: `what` it is in words, and the columns of its shares that name it."""

    table: type[ShareRow]
    what: str
    owner: Person
    named: Mapping[str, Any]

    def here(self) -> tuple[ColumnElement[bool], ...]:
        """The conditions under which a share is one of this thing."""
        columns: list[ColumnElement[bool]] = [
            getattr(self.table, column) == value for column, value in self.named.items()
        ]
        return self.table.owner_id == self.owner.id, *columns


@dataclass(frozen=True, kw_only=True)
class Made(Generic[ShareRow]):
    """A share, new or changed, and whom it is for; `code` only of a new link, only this once."""

    share: ShareRow
    target: Person | Group | None
    changed: bool
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class OpenShare(Generic[ShareRow]):
    """A share in force, with whom it is for; `joined` are those who came by a link."""

    share: ShareRow
    title: str
    joined: tuple[str, ...] = ()


async def open_shares(session: AsyncSession, thing: Thing[ShareRow]) -> list[OpenShare[ShareRow]]:
    """The shares of a thing that are in force, newest first."""
    table = thing.table
    rows = list(
        await session.execute(
            select(table, Person.username, Group.title)
            .outerjoin(Person, Person.id == table.person_id)
            .outerjoin(Group, Group.id == table.group_id)
            .where(*thing.here(), *in_force(table))
            .order_by(table.created_at.desc(), table.id)
        )
    )
    joined: dict[str, list[str]] = {}
    for share, name, _ in rows:
        if share.through_id is not None and name is not None:
            joined.setdefault(share.through_id, []).append(name)
    return [
        OpenShare(
            share=share,
            title=name or title or "Anyone with the link",
            joined=tuple(sorted(joined.get(share.id, ()))),
        )
        for share, name, title in rows
        if share.through_id is None
    ]


async def my_groups(session: AsyncSession, person_id: str) -> list[Group]:
    """The groups that somebody may share with: their own, by title."""
    rows = await session.scalars(
        select(Group)
        .join(GroupMember, GroupMember.group_id == Group.id)
        .where(GroupMember.person_id == person_id)
        .order_by(Group.title)
    )
    return list(rows)


async def give(session: AsyncSession, thing: Thing[ShareRow], wish: Wish) -> Made[ShareRow]:
    """Share it, or change how; the caller notes and tells.

    Raises `Refused` for what cannot be, `NotFound` for an unknown name, `NotAllowed` where sharing
    is switched off, `Conflict` where there are too many shares, `Throttled` where too many are new.
    """
    limits = await settings.read(session, LimitsSettings)
    if limits.shares_per_workspace == 0:
        raise NotAllowed("Sharing is switched off here.", hint="Ask an administrator for it.")
    until = _ends_at(wish, limits.link_days)
    target = await _target_of(session, thing, wish)
    known = None if target is None else await _same(session, thing, target)
    if known is None:
        await _require_pace(session, thing)
        await _require_room(session, thing, limits.shares_per_workspace)
    row = known or thing.table(
        owner_id=thing.owner.id,
        **thing.named,
        kind=wish.kind,
        person_id=target.id if isinstance(target, Person) else None,
        group_id=target.id if isinstance(target, Group) else None,
        mode=wish.mode,
    )
    row.mode, row.expires_at = wish.mode, until
    code = ""
    if wish.kind is With.LINK:
        code = secrets.token_urlsafe(32)
        row.code_hash = _digest_of(code)
    session.add(row)
    await session.flush()
    return Made(share=row, target=target, changed=known is not None, code=code)


async def find(session: AsyncSession, thing: Thing[ShareRow], share_id: str) -> ShareRow:
    """One share of the thing that was not ended; raises `NotFound`."""
    row = await session.scalar(
        select(thing.table).where(
            thing.table.id == share_id, *thing.here(), thing.table.ended_at.is_(None)
        )
    )
    if row is None:
        raise NotFound("This share is not there any more.", hint="Reload the page.")
    return row


async def find_all(session: AsyncSession, thing: Thing[ShareRow]) -> list[ShareRow]:
    """Every share of the thing that was not ended."""
    table = thing.table
    return list(await session.scalars(select(table).where(*thing.here(), table.ended_at.is_(None))))


async def end(
    session: AsyncSession, table: type[ShareRow], shares: Iterable[ShareRow]
) -> list[ShareRow]:
    """End these, and with a link those who came by it; which ended now. The caller notes them."""
    rows = list(shares)
    followers = await session.scalars(
        select(table).where(table.through_id.in_([row.id for row in rows]))
    )
    # a share may be named and follow another one that is named
    rows.extend(followers)
    open_ones = {row.id: row for row in rows if row.ended_at is None}
    at = now()
    for row in open_ones.values():
        row.ended_at = at
    return list(open_ones.values())


async def link_of(
    session: AsyncSession, table: type[ShareRow], code: str
) -> tuple[ShareRow, Person]:
    """The link with this code, and who made it. Raises `NotFound`: `not_valid`."""
    link = await session.scalar(
        select(table).where(table.code_hash == _digest_of(code), *in_force(table))
    )
    owner = await session.get(Person, link.owner_id) if link else None
    limits = await settings.read(session, LimitsSettings)
    if link is None or owner is None or not owner.active or limits.shares_per_workspace == 0:
        raise not_valid()
    return link, owner


def not_valid() -> NotFound:
    """The same answer for every link that is not valid (any more)."""
    return NotFound(
        "This link is not valid, or not any more.",
        hint="Ask whoever sent it to you for a new one.",
    )


async def follow(
    session: AsyncSession, thing: Thing[ShareRow], link: ShareRow, person: Person
) -> tuple[ShareRow, bool]:
    """The share of who comes by a link, and whether it is new; the caller notes and tells.

    Raises `Conflict` where the thing is shared too often.
    """
    table = thing.table
    known = await session.scalar(
        select(table).where(
            table.through_id == link.id, table.person_id == person.id, table.ended_at.is_(None)
        )
    )
    if known is not None:
        return known, False
    limits = await settings.read(session, LimitsSettings)
    await _require_room(session, thing, limits.shares_per_workspace)
    row = table(
        owner_id=thing.owner.id,
        **thing.named,
        kind=With.PERSON,
        person_id=person.id,
        mode=link.mode,
        through_id=link.id,
        expires_at=link.expires_at,
    )
    session.add(row)
    await session.flush()
    return row, True


async def described(session: AsyncSession, row: ShareRow) -> dict[str, object]:
    """A share as the audit log tells it."""
    detail: dict[str, object] = {"share": row.id, "kind": row.kind, "mode": row.mode}
    if row.person_id is not None:
        detail["person"] = (await session.get_one(Person, row.person_id)).username
    if row.group_id is not None:
        detail["group"] = (await session.get_one(Group, row.group_id)).name
    if row.expires_at is not None:
        detail["until"] = row.expires_at.isoformat()
    return detail


async def tell_target(
    session: AsyncSession, owner: Person, target: Person | Group, line: Line
) -> None:
    """Tell whom a share is for: one person, or the members of a group but its owner."""
    if isinstance(target, Person):
        await tell(session, target.id, line)
        return
    members = await session.scalars(
        select(GroupMember.person_id)
        .join(Person, Person.id == GroupMember.person_id)
        .where(GroupMember.group_id == target.id, Person.active, Person.id != owner.id)
    )
    for person_id in list(members):
        await tell(session, person_id, line)


def _digest_of(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()


def _ends_at(wish: Wish, link_days: int) -> datetime | None:
    hours = wish.hours
    if wish.kind is With.LINK:
        hours = hours or min(_LINK_HOURS, link_days * 24)
        if hours > link_days * 24:
            raise Refused(
                f"A link lives at most {link_days} {'day' if link_days == 1 else 'days'}.",
                hint="Choose a shorter time, or share with a person or a group.",
            )
    if hours is None:
        return None
    if not 1 <= hours <= LONGEST_HOURS:
        raise Refused("A share lasts between one hour and a year.", hint="Choose another time.")
    return now() + timedelta(hours=hours)


async def _target_of(
    session: AsyncSession, thing: Thing[ShareRow], wish: Wish
) -> Person | Group | None:
    who = wish.who
    if wish.kind is With.LINK:
        return None
    if wish.kind is With.GROUP:
        for group in await my_groups(session, thing.owner.id):
            if group.name == who:
                return group
        raise NotFound(f"You are in no group {who[:40]!r}.", hint="Choose one of your own groups.")
    person = await by_username(session, who.strip().lower())
    if person is None or not person.active:
        raise NotFound(
            f"There is nobody called {who[:40]!r} here.",
            hint="Write the name with which they sign in, or send them a link.",
        )
    if person.id == thing.owner.id:
        raise Refused(f"This {thing.what} is yours already.", hint="Write somebody else's name.")
    return person


async def _same(
    session: AsyncSession, thing: Thing[ShareRow], target: Person | Group
) -> ShareRow | None:
    """The share with the same person or group, if one is in force."""
    table = thing.table
    column = table.person_id if isinstance(target, Person) else table.group_id
    return await session.scalar(
        select(table)
        .where(*thing.here(), table.through_id.is_(None), column == target.id, *in_force(table))
        .limit(1)
    )


async def _require_pace(session: AsyncSession, thing: Thing[ShareRow]) -> None:
    table = thing.table
    made = await session.scalar(
        select(func.count())
        .select_from(table)
        .where(table.owner_id == thing.owner.id, table.created_at > now() - timedelta(hours=1))
    )
    if (made or 0) >= _MOST_NEW:
        raise Throttled(
            f"You made {_MOST_NEW} shares within an hour.",
            hint="Try again later, or share with a group.",
            retry_after=3600,
        )


async def _require_room(session: AsyncSession, thing: Thing[ShareRow], most: int) -> None:
    table = thing.table
    count = await session.scalar(
        select(func.count()).select_from(table).where(*thing.here(), *in_force(table))
    )
    if (count or 0) >= most:
        raise Conflict(
            f"This {thing.what} is shared {most} times already, and no more are allowed.",
            hint="End a share that is no longer needed, or share with a group.",
        )
