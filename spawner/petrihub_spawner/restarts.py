"""Restarts: stop, then start with the same choices, whatever happens to who began it.

The portal drives a restart. When it did not come to an end by its deadline, the reconciler goes on
from where the records say it is.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta

from petrihub_core.at_stop import options_to_go_on
from petrihub_core.database import Database
from petrihub_core.intents import START, Intents
from petrihub_core.records import IntentRow, now
from petrihub_spawner.effects import restart_failed
from petrihub_spawner.hub_servers import HubServers, Server

STOPPING, STARTING = "stop", "start"  # steps of a restart
_GIVE_UP = timedelta(minutes=15)  # after its deadline
_TOO_LONG = "It did not stop in time. Stop it by hand, then start it."
_NOT_SAVED = "What was changed in it could not be saved yet. Start it when it is saved."


@dataclass
class Restarts:
    """What the reconciler does with restarts that nobody drives any more."""

    intents: Intents
    database: Database
    hub: HubServers
    waiting: list[str] = field(default_factory=list)

    async def go_on(self, servers: dict[str, Server], kept: Collection[str]) -> None:
        """One step for each; `servers` are those that the hub has now, by workspace key, and
        `kept` the keys of those that have stopped and are still being saved.
        """
        self.waiting = []
        for row in await self.intents.open_restarts():
            if now() >= row.deadline:
                await self._step(row, servers.get(row.workspace), row.workspace in kept)

    async def _step(self, row: IntentRow, server: Server | None, kept: bool) -> None:
        title = str(row.external.get("title") or row.external["server"])
        if row.step == STARTING and (server or await self._was_started(row)):
            await self.intents.finish(row.id)  # if that start failed, it has told so itself
        elif now() >= row.deadline + _GIVE_UP:
            why = _NOT_SAVED if kept else _TOO_LONG
            await self.intents.fail(row.id, why, restart_failed(title, why, row.id))
        elif server:
            self.waiting.append(row.workspace)
            if not server.pending:
                await self.hub.stop(server)
        elif kept:
            self.waiting.append(row.workspace)
        else:
            await self.intents.step(row.id, STARTING)
            async with self.database.reading() as session:
                options = await options_to_go_on(
                    session, row.owner, row.external["server"], row.plan["options"]
                )
            refusal = await self.hub.start(row.external["user"], row.external["server"], options)
            if refusal:
                await self.intents.fail(row.id, refusal, restart_failed(title, refusal, row.id))
            else:
                await self.intents.finish(row.id)

    async def _was_started(self, row: IntentRow) -> bool:
        newest = await self.intents.newest(row.workspace)
        return newest is not None and newest.kind == START and newest.started_at > row.started_at
