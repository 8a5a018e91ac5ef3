"""Restarts: stop, then start with the same choices, whatever happens to who began it.

The portal drives a restart. When it did not come to an end by its deadline, the reconciler goes on
from where the records say it is.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from petrihub_core.intents import START, Intents
from petrihub_core.records import IntentRow, now
from petrihub_spawner.effects import restart_failed
from petrihub_spawner.hub_servers import HubServers, Server

STOPPING, STARTING = "stop", "start"  # steps of a restart
_GIVE_UP = timedelta(minutes=15)  # after its deadline
_TOO_LONG = "It did not stop in time. Stop it by hand, then start it."


@dataclass
class Restarts:
    """What the reconciler does with restarts that nobody drives any more."""

    intents: Intents
    hub: HubServers
    waiting: list[str] = field(default_factory=list)

    async def go_on(self, servers: dict[str, Server]) -> None:
        """One step for each; `servers` are those that the hub has now, by workspace key."""
        self.waiting = []
        for row in await self.intents.open_restarts():
            if now() >= row.deadline:
                await self._step(row, servers.get(row.workspace))

    async def _step(self, row: IntentRow, server: Server | None) -> None:
        title = str(row.external.get("title") or row.external["server"])
        if row.step == STARTING and (server or await self._was_started(row)):
            await self.intents.finish(row.id)  # if that start failed, it has told so itself
        elif now() >= row.deadline + _GIVE_UP:
            line = restart_failed(title, _TOO_LONG, row.id)
            await self.intents.fail(row.id, _TOO_LONG, line)
        elif server:
            self.waiting.append(row.workspace)
            if not server.pending:
                await self.hub.stop(server)
        else:
            await self.intents.step(row.id, STARTING)
            refusal = await self.hub.start(
                row.external["user"], row.external["server"], row.plan["options"]
            )
            if refusal:
                await self.intents.fail(row.id, refusal, restart_failed(title, refusal, row.id))
            else:
                await self.intents.finish(row.id)

    async def _was_started(self, row: IntentRow) -> bool:
        newest = await self.intents.newest(row.workspace)
        return newest is not None and newest.kind == START and newest.started_at > row.started_at
