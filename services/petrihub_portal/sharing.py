"""What follows from the shares: the hub lets in whom our table names, and nobody else stays inside.

A round every few seconds brings everything in step: it ends what expired, follows groups and
accounts, and repairs what a crash left. Changes by a person do not wait for it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit
from petrihub_core.beside import beside
from petrihub_core.errors import NotFound, PetriHubError
from petrihub_core.logs import get_logger
from petrihub_core.people import by_username
from petrihub_core.records import GroupMember, Person, WorkspaceShare, now
from petrihub_core.share_terms import in_force
from petrihub_portal import shares
from petrihub_portal.context import Portal
from petrihub_portal.doors import Mode, Place
from petrihub_portal.giving import Made, Wish
from petrihub_portal.visit import Visit

log = get_logger(__name__)

ROUND_SECONDS = 10
_LOOK_BACK = timedelta(hours=1)  # ended shares that a round still looks after
_KEPT = timedelta(days=30)  # ended shares; what happened stays in the audit
_SYSTEM = "petrihub"  # who acts where no person does


@dataclass(frozen=True, kw_only=True)
class SharedWithMe:
    """A workspace of somebody else that I may enter. `mode` is view or work, `until` None: no end.

    `url` opens it; while `ready` is False it does not run, and only its owner can start it.
    """

    owner: str
    workspace: str
    title: str
    mode: str
    url: str
    ready: bool
    until: datetime | None


async def shared_with(visit: Visit) -> list[SharedWithMe]:
    """What is shared with the visitor now, by owner and name."""
    me = visit.me
    found: dict[Place, tuple[Mode, datetime | None]] = {}
    async with visit.portal.database.reading() as session:
        groups = select(GroupMember.group_id).where(GroupMember.person_id == me.id)
        rows = await session.execute(
            select(Person.username, WorkspaceShare)
            .join(Person, Person.id == WorkspaceShare.owner_id)
            .where(
                or_(WorkspaceShare.person_id == me.id, WorkspaceShare.group_id.in_(groups)),
                WorkspaceShare.owner_id != me.id,
                Person.active,
                *in_force(WorkspaceShare),
            )
            .order_by(Person.username, WorkspaceShare.workspace)
        )
        for owner, row in rows:
            place = Place(owner, row.workspace)
            found[place] = _wider(found.get(place), (Mode(row.mode), row.expires_at))
    ready = await _running(visit.portal, me.username) if found else set()
    return [
        SharedWithMe(
            owner=place.owner,
            workspace=place.workspace,
            title=place.workspace,
            mode=mode,
            url=visit.portal.address(place),
            ready=place in ready,
            until=until,
        )
        for place, (mode, until) in found.items()
    ]


async def let_in(portal: Portal, owner: Person, place: Place, wish: Wish) -> Made[WorkspaceShare]:
    """Share one's own running workspace, at once; raises in words what is not possible."""
    await portal.doors.require_running(place)
    async with portal.database.session() as session:
        made = await shares.share(session, owner, place.workspace, wish)
    await settle_all(portal, [place])
    return made


async def come_in(portal: Portal, person: Person, code: str) -> tuple[Place, WorkspaceShare]:
    """Join by a link, at once; raises in words what is not possible."""
    async with portal.database.session() as session:
        place, row = await shares.join(session, person, code)
    await settle_all(portal, [place])
    return place, row


async def end_one(portal: Portal, owner: Person, place: Place, share_id: str) -> None:
    """End one share of one's own workspace, at once; raises `NotFound`."""
    async with portal.database.session() as session:
        await shares.end_one(session, owner, place.workspace, share_id)
    await settle_all(portal, [place])


async def end_all_of(portal: Portal, person_id: str, by: str, why: str = "account closed") -> None:
    """End every share of somebody and every share with them by name, at once.

    Call it after the transaction in which the account was deactivated: it makes its own.
    """
    async with portal.database.session() as session:
        rows = await session.execute(
            select(WorkspaceShare, Person)
            .join(Person, Person.id == WorkspaceShare.owner_id)
            .where(
                or_(WorkspaceShare.owner_id == person_id, WorkspaceShare.person_id == person_id),
                WorkspaceShare.ended_at.is_(None),
            )
        )
        found = [(row, owner) for row, owner in rows]
        for row, owner in found:
            await shares.end(session, by, owner, [row], why)
        touched = {Place(owner.username, row.workspace) for row, owner in found}
        touched |= await _places_by_group(session, person_id)
    await settle_all(portal, touched)


async def end_all_in(portal: Portal, owner_id: str, workspace: str, by: str) -> None:
    """End every share of one workspace, at once: before it is deleted, or on somebody's wish."""
    async with portal.database.session() as session:
        owner = await session.get_one(Person, owner_id)
        await shares.end_all(session, owner, workspace, by)
        place = Place(owner.username, workspace)
    await settle_all(portal, {place})


async def settle(portal: Portal, place: Place) -> list[str]:
    """Bring hub and workspace in step with our table now; the names of those put out.

    Raises `Unavailable` if the hub does not answer; the next round tries again.
    """
    doors = portal.doors
    async with doors.lock(place):
        try:
            before = await doors.let_in(place)
        except NotFound:
            await _forget(portal, place)
            return []
        async with portal.database.reading() as session:
            wanted = await shares.entitled(session, place)
        if not await doors.set(place, before, wanted):
            return []
        expelled = await doors.look_again(place)
        # before anybody else finds nothing left to do, and says that it is done
        async with portal.database.session() as session:
            for name in expelled:
                await audit.record(
                    session,
                    actor=_SYSTEM,
                    action="share.expelled",
                    target=place.server,
                    detail={"person": name},
                )
    return expelled


async def settle_all(portal: Portal, places: Iterable[Place]) -> None:
    """`settle` each; what cannot be settled now is left to the next round."""
    for place in places:
        try:
            await settle(portal, place)
        except PetriHubError as exc:
            log.warning("shares could not be settled now", place=place.server, why=exc.message)


@asynccontextmanager
async def kept(portal: Portal) -> AsyncIterator[None]:
    """Rounds go on until the block ends."""
    async with beside(_rounds(portal)):
        yield


async def _rounds(portal: Portal) -> None:
    while True:
        await asyncio.sleep(ROUND_SECONDS)
        try:
            await go_round(portal)
        except Exception:  # a round that fails must not be the last one
            log.exception("a round of the shares failed")


async def go_round(portal: Portal) -> None:
    """End what is over, then bring every shared workspace in step."""
    at = now()
    async with portal.database.reading() as session:
        rows = await session.execute(
            select(WorkspaceShare, Person.username)
            .join(Person, Person.id == WorkspaceShare.owner_id)
            .where(
                or_(WorkspaceShare.ended_at.is_(None), WorkspaceShare.ended_at > at - _LOOK_BACK)
            )
        )
        found = [(row, owner) for row, owner in rows]
        old = await session.scalar(
            select(WorkspaceShare.id).where(WorkspaceShare.ended_at < at - _KEPT).limit(1)
        )
    if old is not None:
        async with portal.database.session() as session:
            await session.execute(
                delete(WorkspaceShare).where(WorkspaceShare.ended_at < at - _KEPT)
            )
    over = [row.id for row, _ in found if row.ended_at is None and _why_over(row, at)]
    if over:
        await _end_over(portal, over, at)
    await settle_all(portal, sorted({Place(owner, row.workspace) for row, owner in found}, key=str))


def _why_over(row: WorkspaceShare, at: datetime) -> str:
    if row.expires_at is not None and row.expires_at <= at:
        return "expired"
    absent = {"person": row.person_id, "group": row.group_id}.get(row.kind, row.id) is None
    return f"the {row.kind} is gone" if absent else ""


async def _end_over(portal: Portal, ids: list[str], at: datetime) -> None:
    async with portal.database.session() as session:
        for share_id in ids:
            row = await session.get(WorkspaceShare, share_id)
            why = _why_over(row, at) if row else ""
            if row is None or row.ended_at is not None or not why:
                continue  # another replica was here first, or it was prolonged
            owner = await session.get_one(Person, row.owner_id)
            await shares.end(session, _SYSTEM, owner, [row], why)


async def _forget(portal: Portal, place: Place) -> None:
    """The workspace was deleted: one of the same name later is another one."""
    async with portal.database.session() as session:
        owner = await by_username(session, place.owner)
        if owner is not None:
            await shares.end_all(session, owner, place.workspace, _SYSTEM, "the workspace is gone")


async def _places_by_group(session: AsyncSession, person_id: str) -> set[Place]:
    rows = await session.execute(
        select(Person.username, WorkspaceShare.workspace)
        .join(WorkspaceShare, WorkspaceShare.owner_id == Person.id)
        .join(GroupMember, GroupMember.group_id == WorkspaceShare.group_id)
        .where(GroupMember.person_id == person_id, *in_force(WorkspaceShare))
    )
    return {Place(owner, workspace) for owner, workspace in rows}


async def _running(portal: Portal, name: str) -> set[Place]:
    """The running workspaces among those that the hub lets this person into."""
    try:
        answer = await portal.hub.call("GET", "users", name, "shared", limit=200)
    except NotFound:
        return set()
    servers = (share["server"] for share in answer["items"])
    return {
        Place(server["user"]["name"], server["name"]) for server in servers if server.get("ready")
    }


def _wider(
    known: tuple[Mode, datetime | None] | None, other: tuple[Mode, datetime | None]
) -> tuple[Mode, datetime | None]:
    if known is None:
        return other
    mode = Mode.WORK if Mode.WORK in (known[0], other[0]) else Mode.VIEW
    ends = [known[1], other[1]]
    return mode, None if None in ends else max(each for each in ends if each)
