"""Letting others into a running workspace. Our table is the truth; the hub's shares follow it.

Promises: only the owner shares; of a link only the SHA-256 of its code is kept; nobody enters by a
share that ended or expired. What follows outside of our tables is in `sharing`.
"""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit, settings
from petrihub_core.errors import Conflict, NotAllowed, NotFound, Refused, Throttled
from petrihub_core.people import by_username
from petrihub_core.records import Group, GroupMember, Person, WorkspaceShare, now
from petrihub_core.settings.pages import LimitsSettings
from petrihub_portal.doors import Mode, Place
from petrihub_portal.share_news import tell_guests, tell_owner

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
    """What an owner asks for. `who` is the name of a person or group; `hours` None: no end."""

    kind: With
    mode: Mode
    who: str = ""
    hours: int | None = None


@dataclass(frozen=True, kw_only=True)
class Made:
    """A share, new or changed; `code` only of a new link, and only this once."""

    share: WorkspaceShare
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class OpenShare:
    """A share in force, with whom it is for; `joined` are those who came by a link."""

    share: WorkspaceShare
    title: str
    joined: tuple[str, ...] = ()


def in_force(at: datetime | None = None) -> tuple[ColumnElement[bool], ...]:
    """The conditions under which a share counts."""
    at = at or now()
    return (
        WorkspaceShare.ended_at.is_(None),
        or_(WorkspaceShare.expires_at.is_(None), WorkspaceShare.expires_at > at),
    )


async def open_shares(session: AsyncSession, owner_id: str, workspace: str) -> list[OpenShare]:
    """The shares of a workspace that are in force, newest first."""
    rows = list(
        await session.execute(
            select(WorkspaceShare, Person.username, Group.title)
            .outerjoin(Person, Person.id == WorkspaceShare.person_id)
            .outerjoin(Group, Group.id == WorkspaceShare.group_id)
            .where(
                WorkspaceShare.owner_id == owner_id,
                WorkspaceShare.workspace == workspace,
                *in_force(),
            )
            .order_by(WorkspaceShare.created_at.desc(), WorkspaceShare.id)
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


async def entitled(session: AsyncSession, place: Place) -> dict[str, Mode]:
    """Who may be in the workspace at this moment, by name, with the wider mode of their shares."""
    owner = await by_username(session, place.owner)
    if owner is None or not owner.active:
        return {}
    here = (
        WorkspaceShare.owner_id == owner.id,
        WorkspaceShare.workspace == place.workspace,
        Person.active,
        Person.id != owner.id,
        *in_force(),
    )
    chosen = select(Person.username, WorkspaceShare.mode)
    direct = chosen.join(WorkspaceShare, WorkspaceShare.person_id == Person.id).where(*here)
    by_group = (
        chosen.join(GroupMember, GroupMember.person_id == Person.id)
        .join(WorkspaceShare, WorkspaceShare.group_id == GroupMember.group_id)
        .where(*here)
    )
    found: dict[str, Mode] = {}
    for query in (direct, by_group):
        for name, mode in await session.execute(query):
            if found.get(name) is not Mode.WORK:
                found[name] = Mode(mode)
    return found


async def my_groups(session: AsyncSession, person_id: str) -> list[Group]:
    """The groups that somebody may share with: their own, by title."""
    rows = await session.scalars(
        select(Group)
        .join(GroupMember, GroupMember.group_id == Group.id)
        .where(GroupMember.person_id == person_id)
        .order_by(Group.title)
    )
    return list(rows)


async def share(session: AsyncSession, owner: Person, workspace: str, wish: Wish) -> Made:
    """Let somebody in, or change how; with audit row and a line in their feed.

    Raises `Refused` for what cannot be, `NotFound` for an unknown name, `NotAllowed` where sharing
    is switched off, `Conflict` where there are too many shares.
    """
    limits = await settings.read(session, LimitsSettings)
    if limits.shares_per_workspace == 0:
        raise NotAllowed(
            "Sharing workspaces is switched off here.", hint="Ask an administrator for it."
        )
    until = _until(wish, limits.link_days)
    target = await _target(session, owner, wish)
    known = None if target is None else await _same(session, owner, workspace, wish, target)
    if known is None:
        await _require_pace(session, owner.id)
        await _require_room(session, owner.id, workspace, limits.shares_per_workspace)
    row = known or WorkspaceShare(
        owner_id=owner.id,
        workspace=workspace,
        kind=wish.kind,
        person_id=target.id if isinstance(target, Person) else None,
        group_id=target.id if isinstance(target, Group) else None,
        mode=wish.mode,
    )
    row.mode, row.expires_at = wish.mode, until
    code = ""
    if wish.kind is With.LINK:
        code = secrets.token_urlsafe(32)
        row.code_hash = _digest(code)
    session.add(row)
    await session.flush()
    await _note(session, owner.username, "share.changed" if known else "share.made", owner, row)
    if known is None and target is not None:
        await tell_guests(session, owner, row, target)
    return Made(share=row, code=code)


async def end(
    session: AsyncSession, by: str, owner: Person, shares: Iterable[WorkspaceShare], why: str = ""
) -> int:
    """End these shares, and with a link those who came by it; how many ended. Audit row each."""
    at, ended = now(), 0
    for row in shares:
        followers = await session.scalars(
            select(WorkspaceShare).where(
                WorkspaceShare.through_id == row.id, WorkspaceShare.ended_at.is_(None)
            )
        )
        for each in (row, *followers):
            if each.ended_at is None:
                each.ended_at = at
                ended += 1
                await _note(session, by, "share.ended", owner, each, why=why)
    return ended


async def end_one(session: AsyncSession, owner: Person, workspace: str, share_id: str) -> None:
    """End one share of one's own workspace; raises `NotFound`."""
    row = await session.get(WorkspaceShare, share_id)
    if row is None or row.owner_id != owner.id or row.workspace != workspace or row.ended_at:
        raise NotFound("This share is not there any more.", hint="Reload the page.")
    await end(session, owner.username, owner, [row])


async def end_all(session: AsyncSession, owner: Person, workspace: str, by: str = "") -> int:
    """End every share of a workspace; how many there were."""
    rows = await session.scalars(
        select(WorkspaceShare).where(
            WorkspaceShare.owner_id == owner.id,
            WorkspaceShare.workspace == workspace,
            WorkspaceShare.ended_at.is_(None),
        )
    )
    return await end(session, by or owner.username, owner, list(rows))


async def join(session: AsyncSession, person: Person, code: str) -> tuple[Place, WorkspaceShare]:
    """Come in by a link; the same answer for every link that is not valid (any more).

    Raises `NotFound`, or `Conflict` for one's own workspace and where it is full.
    """
    link = await session.scalar(
        select(WorkspaceShare).where(
            WorkspaceShare.code_hash == _digest(code),
            *in_force(),
        )
    )
    owner = await session.get(Person, link.owner_id) if link else None
    limits = await settings.read(session, LimitsSettings)
    if link is None or owner is None or not owner.active or limits.shares_per_workspace == 0:
        raise NotFound(
            "This link is not valid, or not any more.",
            hint="Ask whoever sent it to you for a new one.",
        )
    if owner.id == person.id:
        raise Conflict(
            "This link leads to your own workspace.", hint="Send it to whom you want to let in."
        )
    place = Place(owner.username, link.workspace)
    known = await session.scalar(
        select(WorkspaceShare).where(
            WorkspaceShare.through_id == link.id,
            WorkspaceShare.person_id == person.id,
            WorkspaceShare.ended_at.is_(None),
        )
    )
    if known is not None:
        return place, known
    await _require_room(session, owner.id, link.workspace, limits.shares_per_workspace)
    row = WorkspaceShare(
        owner_id=owner.id,
        workspace=link.workspace,
        kind=With.PERSON,
        person_id=person.id,
        mode=link.mode,
        through_id=link.id,
        expires_at=link.expires_at,
    )
    session.add(row)
    await session.flush()
    await _note(session, person.username, "share.joined", owner, row)
    await tell_owner(session, owner.id, person, row)
    return place, row


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()


def _until(wish: Wish, link_days: int) -> datetime | None:
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


async def _target(session: AsyncSession, owner: Person, wish: Wish) -> Person | Group | None:
    if wish.kind is With.LINK:
        return None
    if wish.kind is With.GROUP:
        for group in await my_groups(session, owner.id):
            if group.name == wish.who:
                return group
        raise NotFound(
            f"You are in no group {wish.who[:40]!r}.", hint="Choose one of your own groups."
        )
    person = await by_username(session, wish.who.strip().lower())
    if person is None or not person.active:
        raise NotFound(
            f"There is nobody called {wish.who[:40]!r} here.",
            hint="Write the name with which they sign in, or send them a link.",
        )
    if person.id == owner.id:
        raise Refused("This workspace is yours already.", hint="Write somebody else's name.")
    return person


async def _same(
    session: AsyncSession, owner: Person, workspace: str, wish: Wish, target: Person | Group
) -> WorkspaceShare | None:
    """The share with the same person or group, if one is in force."""
    column = WorkspaceShare.person_id if wish.kind is With.PERSON else WorkspaceShare.group_id
    return await session.scalar(
        select(WorkspaceShare)
        .where(
            WorkspaceShare.owner_id == owner.id,
            WorkspaceShare.workspace == workspace,
            WorkspaceShare.through_id.is_(None),
            column == target.id,
            *in_force(),
        )
        .limit(1)
    )


async def _require_pace(session: AsyncSession, owner_id: str) -> None:
    made = await session.scalar(
        select(func.count())
        .select_from(WorkspaceShare)
        .where(
            WorkspaceShare.owner_id == owner_id,
            WorkspaceShare.created_at > now() - timedelta(hours=1),
        )
    )
    if (made or 0) >= _MOST_NEW:
        raise Throttled(
            f"You made {_MOST_NEW} shares within an hour.",
            hint="Try again later, or share with a group.",
            retry_after=3600,
        )


async def _require_room(session: AsyncSession, owner_id: str, workspace: str, most: int) -> None:
    rows = await session.scalars(
        select(WorkspaceShare.id)
        .where(
            WorkspaceShare.owner_id == owner_id,
            WorkspaceShare.workspace == workspace,
            *in_force(),
        )
        .limit(most)
    )
    if len(list(rows)) >= most:
        raise Conflict(
            f"This workspace is shared {most} times already, and no more are allowed.",
            hint="End a share that is no longer needed, or share with a group.",
        )


async def _note(
    session: AsyncSession, by: str, action: str, owner: Person, row: WorkspaceShare, why: str = ""
) -> None:
    detail: dict[str, object] = {"share": row.id, "kind": row.kind, "mode": row.mode}
    for field, value in (("person", row.person_id), ("group", row.group_id)):
        if value is not None:
            named = await session.get(Person if field == "person" else Group, value)
            detail[field] = getattr(named, "username", None) or getattr(named, "name", value)
    if row.expires_at is not None:
        detail["until"] = row.expires_at.isoformat()
    if why:
        detail["why"] = why
    await audit.record(
        session,
        actor=by,
        action=action,
        target=f"{owner.username}/{row.workspace}",
        detail=detail,
    )
