"""Letting others into a running workspace. Our table is the truth; the hub's shares follow it.

Promises: only the owner shares; nobody enters by a share that ended or expired. What holds for all
shares is in `giving`, what follows outside of our tables in `sharing`.
"""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit
from petrihub_core.errors import Conflict
from petrihub_core.people import by_username
from petrihub_core.records import GroupMember, Person, WorkspaceShare
from petrihub_core.share_terms import in_force
from petrihub_portal import giving
from petrihub_portal.doors import Mode, Place
from petrihub_portal.giving import Made, Thing, Wish
from petrihub_portal.share_news import tell_guests, tell_owner


def shared(owner: Person, workspace: str) -> Thing[WorkspaceShare]:
    """The workspace as something that can be shared."""
    return Thing(
        table=WorkspaceShare, what="workspace", owner=owner, named={"workspace": workspace}
    )


async def entitled(session: AsyncSession, place: Place) -> dict[str, Mode]:
    """Who may be in the workspace at this moment, by name, with the wider mode of their shares."""
    owner = await by_username(session, place.owner)
    if owner is None or not owner.active:
        return {}
    here = (
        *shared(owner, place.workspace).here(),
        Person.active,
        Person.id != owner.id,
        *in_force(WorkspaceShare),
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


async def share(
    session: AsyncSession, owner: Person, workspace: str, wish: Wish
) -> Made[WorkspaceShare]:
    """Let somebody in, or change how; with audit row and a line in their feed.

    Raises as `giving.give`.
    """
    made = await giving.give(session, shared(owner, workspace), wish)
    await _note(session, owner.username, "changed" if made.changed else "made", owner, made.share)
    if not made.changed and made.target is not None:
        await tell_guests(session, owner, made.share, made.target)
    return made


async def end(
    session: AsyncSession, by: str, owner: Person, rows: Iterable[WorkspaceShare], why: str = ""
) -> None:
    """End these shares, and with a link those who came by it. Audit row each."""
    for row in await giving.end(session, WorkspaceShare, rows):
        await _note(session, by, "ended", owner, row, why=why)


async def end_one(session: AsyncSession, owner: Person, workspace: str, share_id: str) -> None:
    """End one share of one's own workspace; raises `NotFound`."""
    row = await giving.find(session, shared(owner, workspace), share_id)
    await end(session, owner.username, owner, [row])


async def end_all(
    session: AsyncSession, owner: Person, workspace: str, by: str, why: str = ""
) -> None:
    """End every share of a workspace."""
    await end(session, by, owner, await giving.find_all(session, shared(owner, workspace)), why)


async def join(session: AsyncSession, person: Person, code: str) -> tuple[Place, WorkspaceShare]:
    """Come in by a link; raises `NotFound`, or `Conflict` for one's own and where it is full."""
    link, owner = await giving.link_of(session, WorkspaceShare, code)
    if owner.id == person.id:
        raise Conflict(
            "This link leads to your own workspace.", hint="Send it to whom you want to let in."
        )
    row, new = await giving.follow(session, shared(owner, link.workspace), link, person)
    if new:
        await _note(session, person.username, "joined", owner, row)
        await tell_owner(session, owner.id, person, row)
    return Place(owner.username, link.workspace), row


async def _note(
    session: AsyncSession, by: str, what: str, owner: Person, row: WorkspaceShare, why: str = ""
) -> None:
    await audit.record(
        session,
        actor=by,
        action=f"share.{what}",
        target=f"{owner.username}/{row.workspace}",
        detail=await giving.described(session, row) | ({"why": why} if why else {}),
    )
