"""Starts that wait for their turn, on record, so that the end of a hub loses nobody."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from petrihub_core.intents import GIVEN_UP, Effect, Intents
from petrihub_core.records import IntentRow, now
from petrihub_spawner.effects import start_failed
from petrihub_spawner.hub_servers import HubServers, Server
from petrihub_spawner.progress import Progress
from petrihub_spawner.stages import TRY_AGAIN, Stage, StartFailed
from petrihub_spawner.turns import LONGEST_WAIT, Turns, Waiter

_TOO_LONG = f"It waited for its turn for {LONGEST_WAIT / 60:.0f} minutes."
_APART = 0.1  # seconds between two questions to a hub that has many to start again


@asynccontextmanager
async def turn_of(
    turns: Turns, intents: Intents, effect: Effect, progress: Progress, active: Callable[[], int]
) -> AsyncIterator[float]:
    """Hold a turn for the block; the seconds waited for it, which is on record while it lasts.

    `active` counts the owner's workspaces, see `Waiter`. Raises `StartFailed` when it never comes.
    """
    if turns.room():
        waiter = Waiter(workspace=effect.workspace, owner=effect.owner, since=now(), active=active)
        async with turns.turn(waiter, progress.in_line):
            yield 0.0
        return
    loop = asyncio.get_running_loop()
    begun = loop.time()
    row = await intents.wait(effect, deadline_s=LONGEST_WAIT)
    waiter = Waiter(workspace=row.workspace, owner=row.owner, since=row.started_at, active=active)
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout((row.deadline - now()).total_seconds()):
                await stack.enter_async_context(turns.turn(waiter, progress.in_line))
        except TimeoutError as exc:
            raise StartFailed(_TOO_LONG, stage=Stage.QUEUED, hint=TRY_AGAIN) from exc
        yield loop.time() - begun


@dataclass
class Waits:
    """What the reconciler does with waits that are no hub's any more."""

    intents: Intents
    hub: HubServers
    waiting: list[str] = field(default_factory=list)

    async def go_on(self, rows: list[IntentRow], servers: dict[str, Server]) -> None:
        """Start again who waited when the hub ended, in their order; end what nobody waits for.

        `rows` are of before the hub was asked for its `servers`.
        """
        self.waiting = []
        lost = []
        for row in rows:
            server = servers.get(row.workspace)
            if server and server.pending:
                self.waiting.append(row.workspace)
            elif server and server.ready:
                await self.intents.finish(row.id)
            elif row.boot == self.intents.boot:
                await self.intents.fail(row.id, GIVEN_UP)
            elif now() >= row.deadline:
                await self._fail(row, f"{_TOO_LONG} {TRY_AGAIN}")
            else:
                lost.append(row)
        await asyncio.gather(*(self._ask_again(row, n * _APART) for n, row in enumerate(lost)))

    async def _ask_again(self, row: IntentRow, after: float) -> None:
        await asyncio.sleep(after)
        self.waiting.append(row.workspace)
        refusal = await self.hub.start(
            row.external["user"], row.external["server"], row.plan["options"]
        )
        if refusal:
            await self._fail(row, refusal)

    async def _fail(self, row: IntentRow, reason: str) -> None:
        line = start_failed(row.external["title"], reason, row.id)
        await self.intents.fail(row.id, reason, line)
