"""Write-ahead intents: what we are about to do outside, on record before it happens."""

from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from sqlalchemy import select

from petrihub_core.database import Database
from petrihub_core.records import Document, IntentRow, now

OPEN, DONE, FAILED = "open", "done", "failed"
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


class Intents:
    """The intents of one deployment; `boot` names this life of the hub process."""

    def __init__(self, database: Database, boot: str) -> None:
        self._database = database
        self.boot = boot

    async def begin(self, effect: Effect, *, deadline_s: float) -> IntentRow:
        """Write the intent down; it is committed when this returns."""
        started = now()
        row = IntentRow(
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
        async with self._database.session() as session:
            session.add(row)
        return row

    async def step(self, intent_id: str, step: str, *, external: Document | None = None) -> None:
        """Record how far it got, and outside names that were only known now."""
        async with self._database.session() as session:
            row = await session.get_one(IntentRow, intent_id)
            row.step = step
            if external:
                row.external = {**row.external, **external}

    async def finish(self, intent_id: str) -> None:
        """It happened."""
        await self._end(intent_id, DONE, "")

    async def fail(self, intent_id: str, reason: str) -> None:
        """It did not happen, and nothing of it is left; `reason` is for the person."""
        await self._end(intent_id, FAILED, reason)

    async def _end(self, intent_id: str, state: str, reason: str) -> None:
        async with self._database.session() as session:
            row = await session.get_one(IntentRow, intent_id)
            if row.state == OPEN:  # the first ending counts: spawner and reconciler may both come
                row.state, row.reason, row.ended_at = state, reason[:_REASON_LIMIT], now()

    async def get(self, intent_id: str) -> IntentRow | None:
        """The intent, or None if it was never written."""
        async with self._database.session() as session:
            return await session.get(IntentRow, intent_id)

    async def open_intents(self) -> list[IntentRow]:
        """Everything begun and not ended, oldest first."""
        async with self._database.session() as session:
            rows = await session.scalars(
                select(IntentRow).where(IntentRow.state == OPEN).order_by(IntentRow.started_at)
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
