"""Write-ahead intents: what we are about to do outside, on record before it happens."""

from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit, feed
from petrihub_core.database import Database
from petrihub_core.records import Document, IntentRow, Person, now

OPEN, DONE, FAILED = "open", "done", "failed"
START, STOP = "start", "stop"
RESTART = "restart"  # the portal stops and starts again; its start and its stop have their own
WAIT = "wait"  # a start that waits for its turn; when that comes, its START takes over
GIVEN_UP = "The start was given up."  # the reason of a start that somebody cancelled
ENDED = "ended"  # a workspace that was ready ended by itself: written after the fact
_REASON_LIMIT = 2000
_STARTS_LOOKED_AT = 20


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One outside effect: what, on which workspace, for whom, under which outside names."""

    kind: str
    workspace: str
    owner: str
    external: Document
    plan: Document
    profile: str = ""
    size: str = ""


@dataclass(frozen=True)
class Asked:
    """By whom an effect was asked for, and on what, as the audit trail names them."""

    by: str
    target: str


class Intents:
    """The intents of one deployment; `boot` names this life of the hub process."""

    def __init__(self, database: Database, boot: str) -> None:
        self._database = database
        self.boot = boot

    async def begin(
        self, effect: Effect, *, deadline_s: float, asked: Asked | None = None
    ) -> IntentRow:
        """Write the intent down, and who asked for it; it is committed when this returns.

        A start whose turn has come takes over from its wait.
        """
        row = self._row(effect, deadline_s=deadline_s)
        async with self._database.session() as session:
            session.add(row)
            await _end_wait(session, effect, DONE)
            if asked is not None:
                action = f"workspace.{effect.kind}"
                detail = {"profile": effect.profile, "size": effect.size}
                await audit.record(
                    session, actor=asked.by, action=action, target=asked.target, detail=detail
                )
        return row

    async def wait(self, effect: Effect, *, deadline_s: float) -> IntentRow:
        """Write down that a start waits for its turn.

        One that waited in an earlier life of the hub keeps its place.
        """
        row = self._row(effect, deadline_s=deadline_s)
        async with self._database.session() as session:
            found = await session.scalar(_waits_of(effect.workspace))
            if found is None:
                session.add(row)
                return row
            found.boot = self.boot
            return found

    async def leave_line(self, workspace: str) -> None:
        """Somebody gave up the start of this workspace while it waited for its turn."""
        async with self._database.session() as session:
            row = await session.scalar(_waits_of(workspace))
            if row is not None:
                row.state, row.reason, row.ended_at = FAILED, GIVEN_UP, now()

    def _row(self, effect: Effect, *, deadline_s: float) -> IntentRow:
        started = now()
        return IntentRow(
            kind=effect.kind,
            workspace=effect.workspace,
            owner=effect.owner,
            external=effect.external,
            plan=effect.plan,
            profile=effect.profile,
            size=effect.size,
            boot=self.boot,
            started_at=started,
            deadline=started + timedelta(seconds=deadline_s),
        )

    async def step(self, intent_id: str, step: str, *, external: Document | None = None) -> None:
        """Record how far it got, and outside names that were only known now."""
        async with self._database.session() as session:
            row = await session.get_one(IntentRow, intent_id)
            row.step = step
            if external:
                row.external = {**row.external, **external}

    async def prolong(self, intent_id: str, deadline_s: float) -> None:
        """It moves: its deadline is so many seconds from now."""
        async with self._database.session() as session:
            row = await session.get_one(IntentRow, intent_id)
            row.deadline = now() + timedelta(seconds=deadline_s)

    async def finish(self, intent_id: str) -> None:
        """It happened."""
        await self._end(intent_id, DONE, "")

    async def fail(self, intent_id: str, reason: str, line: feed.Line | None = None) -> None:
        """It did not happen, and nothing of it is left; `reason` is for the person.

        `line` goes into their feed, if they still have one.
        """
        await self._end(intent_id, FAILED, reason, line)

    async def _end(
        self, intent_id: str, state: str, reason: str, line: feed.Line | None = None
    ) -> None:
        async with self._database.session() as session:
            row = await session.get_one(IntentRow, intent_id)
            if row.state != OPEN:  # the first ending counts: spawner and reconciler may both come
                return
            row.state, row.reason, row.ended_at = state, reason[:_REASON_LIMIT], now()
            if line is not None and await session.get(Person, row.owner) is not None:
                await feed.tell(session, row.owner, line)

    async def note_failure(self, effect: Effect, reason: str, line: feed.Line) -> None:
        """Write down what has failed without an intent of its own, and tell the owner."""
        row = self._row(effect, deadline_s=0)
        row.state, row.reason, row.ended_at = FAILED, reason[:_REASON_LIMIT], row.started_at
        async with self._database.session() as session:
            session.add(row)
            await _end_wait(session, effect, FAILED)
            if await session.get(Person, row.owner) is not None:
                await feed.tell(session, row.owner, line)

    async def newest(self, workspace: str) -> IntentRow | None:
        """The newest start, stop or end by itself of this workspace."""
        async with self._database.session() as session:
            return await session.scalar(
                select(IntentRow)
                .where(IntentRow.workspace == workspace, IntentRow.kind.not_in((RESTART, WAIT)))
                .order_by(IntentRow.started_at.desc())
                .limit(1)
            )

    async def get(self, intent_id: str) -> IntentRow | None:
        """The intent, or None if it was never written."""
        async with self._database.session() as session:
            return await session.get(IntentRow, intent_id)

    async def open_intents(self) -> list[IntentRow]:
        """Every start and stop that was begun and has not ended, oldest first."""
        return await self._open(START, STOP)

    async def open_restarts(self) -> list[IntentRow]:
        """Every restart that the portal began and has not ended, oldest first."""
        return await self._open(RESTART)

    async def open_waits(self) -> list[IntentRow]:
        """Every start that waits for its turn, or did when the hub ended, oldest first."""
        return await self._open(WAIT)

    async def _open(self, *kinds: str) -> list[IntentRow]:
        async with self._database.session() as session:
            rows = await session.scalars(
                select(IntentRow)
                .where(IntentRow.state == OPEN, IntentRow.kind.in_(kinds))
                .order_by(IntentRow.started_at)
            )
            return list(rows)

    async def start_seconds(self, profile: str, size: str) -> float | None:
        """Median seconds from start to ready of the latest starts; None before the first."""
        async with self._database.session() as session:
            rows = await session.execute(
                select(IntentRow.started_at, IntentRow.ended_at)
                .where(
                    IntentRow.kind == "start",
                    IntentRow.state == DONE,
                    IntentRow.profile == profile,
                    IntentRow.size == size,
                )
                .order_by(IntentRow.ended_at.desc())
                .limit(_STARTS_LOOKED_AT)
            )
            seconds = [(ended - begun).total_seconds() for begun, ended in rows if ended]
        return median(seconds) if seconds else None


def _waits_of(workspace: str) -> Select[IntentRow]:
    return select(IntentRow).where(
        IntentRow.workspace == workspace, IntentRow.kind == WAIT, IntentRow.state == OPEN
    )


async def _end_wait(session: AsyncSession, effect: Effect, state: str) -> None:
    if effect.kind == START:
        for row in await session.scalars(_waits_of(effect.workspace)):
            row.state, row.ended_at = state, now()
