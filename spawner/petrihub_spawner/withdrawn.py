"""Stops workspaces that have a place open which is no longer their owner's.

A mount cannot be taken out of a running container that trusts nobody but its own user, so the
workspace ends: its owner reads why, and the next start comes without the place. A look at the
tables every few seconds tells whether anybody lost anything; only then, and once a minute, what
runs is compared with what its owners may have.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit, feed
from petrihub_core.errors import PetriHubError
from petrihub_core.intents import START
from petrihub_core.logs import get_logger
from petrihub_core.places import Place, places_of_many
from petrihub_core.records import GroupMember, IntentRow, Notification, Person, RoleGrant
from petrihub_core.web import PORTAL_PREFIX
from petrihub_spawner.foundation import Foundation
from petrihub_spawner.hub_servers import HubServers, Server
from petrihub_spawner.pod.codec import Json, decode

LOOK_EVERY = 10  # seconds; with the grace of a stop this is well below the promised minute
_ALL_EVERY = 6  # looks
_ACTOR = "petrihub"

_CLOSED = "Your account was closed."

log = get_logger(__name__)


@dataclass(frozen=True)
class _Lost:
    """A running workspace with more open than its owner may have; `reason` says what."""

    server: Server
    intent: str
    person: str
    reason: str


@dataclass
class Withdrawals:
    """One per hub."""

    foundation: Foundation
    hub: HubServers
    _known: frozenset[tuple[str, ...]] = field(default_factory=frozenset)
    _looks: int = 0
    _waiting: bool = False

    async def look(self) -> list[str]:
        """One look; the workspaces that the hub was asked to stop. Raises `Unavailable`."""
        rights = await self._rights()
        lost, self._known = self._known - rights, rights
        due = self._looks % _ALL_EVERY == 0
        self._looks += 1
        if not (lost or due or self._waiting):
            return []
        self._waiting = True  # until all that is found below has ended
        found = await self._found()
        ready = [each for each in found if not each.server.pending]
        for each in ready:
            await self._stop(each)
        self._waiting = bool(found)  # the hub stops nothing that still starts: it is looked again
        return [each.server.workspace for each in ready]

    async def _rights(self) -> frozenset[tuple[str, ...]]:
        """What places follow from; only something that is missing later can take one away."""
        async with self.foundation.database.reading() as session:
            active = await session.execute(select(Person.id).where(Person.active))
            members = await session.execute(select(GroupMember.person_id, GroupMember.group_id))
            roles = await session.execute(select(RoleGrant.person_id, RoleGrant.role))
            return frozenset(tuple(row) for rows in (active, members, roles) for row in rows)

    async def _found(self) -> list[_Lost]:
        async with self.foundation.database.reading() as session:
            rows = await session.execute(select(Person.username, Person.id))
            ids = {row.username: row.id for row in rows}
        servers = await self.hub.active(ids)
        async with self.foundation.database.reading() as session:
            starts = await _newest_starts(session, servers)
            places = await places_of_many(session, {row.owner for row in starts})
        found = []
        for row in starts:
            reason = self._beyond(row.plan, places[row.owner])
            if reason:
                found.append(_Lost(servers[row.workspace], row.id, row.owner, reason))
        return found

    def _beyond(self, plan: Json, places: tuple[Place, ...]) -> str:
        """What a start had mounted beyond these places, in words; empty if nothing."""
        if not places:
            return _CLOSED
        try:
            pod = decode(plan)
        except ValueError:
            return ""  # of a release that wrote plans in another way
        mine = {each.external(self.foundation.deployment.id): each for each in places}
        volumes = {volume.name: volume.external for volume in pod.volumes}
        for mount in pod.main.mounts:
            place = mine.get(volumes[mount.volume])
            if place is None:
                return f"You do not have {mount.path} any more."
            if place.read_only and not mount.read_only:
                return f"You may read {mount.path}, and not write there any more."
        return ""

    async def _stop(self, lost: _Lost) -> None:
        await self.hub.stop(lost.server)
        key = f"withdrawn:{lost.intent}"
        async with self.foundation.database.session() as session:
            if await session.scalar(select(Notification.id).where(Notification.key == key)):
                return  # asked for again, since it had not ended yet
            await feed.tell(session, lost.person, _line(lost.server.name, lost.reason, key))
            await audit.record(
                session,
                actor=_ACTOR,
                action="workspace.stopped",
                target=f"{lost.server.user}/{lost.server.name}",
                detail={"reason": lost.reason},
            )


async def _newest_starts(session: AsyncSession, workspaces: Collection[str]) -> list[IntentRow]:
    """The newest start of each of these workspaces, with its plan."""
    newest = (
        select(IntentRow.workspace, func.max(IntentRow.started_at).label("at"))
        .where(IntentRow.kind == START, IntentRow.workspace.in_(workspaces))
        .group_by(IntentRow.workspace)
        .subquery()
    )
    rows = await session.scalars(
        select(IntentRow).join(
            newest,
            (newest.c.workspace == IntentRow.workspace) & (newest.c.at == IntentRow.started_at),
        )
    )
    return [row for row in rows if row.plan]


def _line(title: str, reason: str, key: str) -> feed.Line:
    return feed.Line(
        kind=feed.Kind.STOPPING,
        title=f"{title} was stopped",
        text=f"{reason} It was open in this workspace. Your own files are kept.",
        link=PORTAL_PREFIX,
        link_title="Start it again",
        key=key,
    )


async def watch(withdrawals: Withdrawals) -> None:
    """Look every few seconds, for ever."""
    while True:
        try:
            for workspace in await withdrawals.look():
                log.info("stopped: a place was withdrawn", workspace=workspace)
        except PetriHubError as exc:
            log.warning("not looked for withdrawn places", reason=exc.message)
        except Exception:  # the next look must come, whatever this one met
            log.exception("a look for withdrawn places failed")
        await asyncio.sleep(LOOK_EVERY)
