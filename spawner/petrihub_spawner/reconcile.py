"""Brings records, hub and outside into agreement: finishes, adopts or undoes what was interrupted.

Promises: every intent ends, done or failed with a reason. Only objects that bear this
deployment's marks are touched, and none that the hub knows or that a running hub is working on.
"""

import asyncio
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from petrihub_core.deployment import BOOT_VARIABLE, Deployment
from petrihub_core.errors import PetriHubError, Unavailable
from petrihub_core.heartbeat import RECONCILER, beat
from petrihub_core.intents import START
from petrihub_core.logs import get_logger
from petrihub_core.records import IntentRow, Person, now
from petrihub_spawner.backends.runners import make_runner
from petrihub_spawner.counting import count_forever
from petrihub_spawner.effects import start_failed
from petrihub_spawner.foundation import Foundation, lay
from petrihub_spawner.hub_servers import HubServers, Server
from petrihub_spawner.kept import Kept
from petrihub_spawner.pod.model import PodRef
from petrihub_spawner.restarts import Restarts
from petrihub_spawner.runner import Found, Runner, Silent
from petrihub_spawner.waits import Waits
from petrihub_spawner.withdrawn import Withdrawals, watch
from petrihub_spawner.workspace_log import bound_all

EVERY = 60  # seconds between two rounds when nothing is pending
SOON = 5  # seconds when something is
_SILENCE = 300  # seconds without an answer after which the hub is gone for sure
_HUB_STOPPED = "PetriHub was stopped while the workspace was starting. Start it again."
_TOO_LONG = "It took too long and was given up. Try again."

log = get_logger(__name__)


class OutOfDate(PetriHubError):
    """Another hub has taken over since this reconciler began: it must not act any more."""


@dataclass
class Round:
    """What one round did, by workspace."""

    adopted: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Scene:
    """What there was when the round began."""

    outside: dict[str, list[Found]]
    intents: list[IntentRow]
    waits: list[IntentRow]
    hub: dict[str, Server]


class Reconciler:
    """One per hub; `foundation.intents.boot` is the life of the hub that it works for."""

    def __init__(self, foundation: Foundation, runner: Runner, hub: HubServers) -> None:
        self._foundation = foundation
        self._runner = runner
        self._hub = hub
        self._restarts = Restarts(foundation.intents, foundation.database, hub)
        self._waits = Waits(foundation.intents, hub)
        self._kept = Kept(foundation, runner)
        self._began = now()

    async def once(self) -> Round:
        """One round. Raises `Unavailable` if hub or engine cannot be asked: then nothing changed.

        Raises `OutOfDate` if a later hub is at work.
        """
        scene = await self._look_around()
        done = Round()
        busy = set()
        for row in scene.intents:
            if self._in_flight(row):
                busy.add(row.workspace)
        for row in scene.intents:
            if row.workspace not in busy:
                await self._settle_or_say_why(row, scene, done)
        await self._kept.go_on(busy | scene.hub.keys())
        settled = busy | {*done.waiting, *done.failed, *done.finished}
        for key, objects in scene.outside.items():
            if key not in settled and key not in scene.hub:
                await self._remove_orphans(key, objects, done)
        await self._restarts.go_on(scene.hub, await self._kept.keys())
        await self._waits.go_on(scene.waits, scene.hub)
        done.waiting.extend([*self._restarts.waiting, *self._waits.waiting, *self._kept.waiting])
        await beat(self._foundation.database, RECONCILER)
        return done

    async def _settle_or_say_why(self, row: IntentRow, scene: _Scene, done: Round) -> None:
        try:
            await self._settle(row, scene, done)
        except PetriHubError as exc:
            # one workspace that cannot be settled must not keep the others
            log.warning("not settled", workspace=row.workspace, reason=exc.message)
            done.waiting.append(row.workspace)
            await self._give_up_if_late(row, exc)

    async def _give_up_if_late(self, row: IntentRow, why: PetriHubError) -> None:
        # what is still outside is removed as an orphan as soon as it can be
        if now() >= row.deadline:
            await self._fail(row, why.jupyterhub_message)

    async def _fail(self, row: IntentRow, reason: str) -> None:
        line = start_failed(row.workspace.partition("/")[2], reason, row.id)
        await self._foundation.intents.fail(row.id, reason, line if row.kind == START else None)

    async def _look_around(self) -> _Scene:
        # the order matters: an object's intent is older than the object, and the hub says "spawn"
        # for longer than an intent is open. So what appears during this look is never an orphan.
        outside: dict[str, list[Found]] = {}
        for item in await self._find():
            outside.setdefault(item.ref.key, []).append(item)
        intents = await self._foundation.intents.open_intents()
        for row in intents:
            if row.boot != self._foundation.intents.boot and row.started_at > self._began:
                raise OutOfDate("A later hub is at work.", hint="This reconciler ends.")
        waits = await self._foundation.intents.open_waits()
        hub = await self._hub.active(await self._person_ids())
        return _Scene(outside, intents, waits, hub)

    async def _find(self) -> list[Found]:
        try:
            return await self._runner.find()
        except Unavailable as exc:
            for row in await self._foundation.intents.open_intents():
                await self._give_up_if_late(row, exc)
            raise

    async def _person_ids(self) -> dict[str, str]:
        async with self._foundation.database.session() as session:
            rows = await session.execute(select(Person.username, Person.id))
            return {row.username: row.id for row in rows}

    def _in_flight(self, row: IntentRow) -> bool:
        return row.boot == self._foundation.intents.boot and now() < row.deadline

    async def _settle(self, row: IntentRow, scene: _Scene, done: Round) -> None:
        server = scene.hub.get(row.workspace)
        late = now() >= row.deadline
        if server and server.pending and not late:
            done.waiting.append(row.workspace)  # the hub is at it: it checks after its own restart
        elif row.kind == START:
            await self._settle_start(row, server, scene, done)
        else:
            await self._settle_stop(row, server, scene, done)

    async def _settle_start(
        self, row: IntentRow, server: Server | None, scene: _Scene, done: Round
    ) -> None:
        intents = self._foundation.intents
        if server and server.ready and row.workspace in scene.outside:
            await intents.finish(row.id)
            done.adopted.append(row.workspace)
            return
        if server:
            await self._hub.stop(server)
        await self._remove_all(row, scene)
        lived = row.boot == intents.boot
        await self._fail(row, _TOO_LONG if lived else _HUB_STOPPED)
        done.failed.append(row.workspace)

    async def _settle_stop(
        self, row: IntentRow, server: Server | None, scene: _Scene, done: Round
    ) -> None:
        if server and server.ready:
            # the hub found it running after its restart: it shall stop it in its own order
            await self._hub.stop(server)
            done.waiting.append(row.workspace)
            return
        await self._remove_all(row, scene)
        await self._foundation.intents.finish(row.id)
        done.finished.append(row.workspace)

    async def _remove_all(self, row: IntentRow, scene: _Scene) -> None:
        if row.workspace in scene.outside:
            end = self._runner.keep if await self._kept.ask(row.workspace) else self._runner.stop
            await end(
                _ref(self._foundation.deployment, row.workspace),
                grace=self._foundation.deployment.workspaces.stop_grace,
                journal=Silent(),
            )

    async def _remove_orphans(self, key: str, objects: list[Found], done: Round) -> None:
        # a start may have begun since the look; its objects have other handles, but a removal
        # in the middle of it would still be wrong
        now_open = {row.workspace for row in await self._foundation.intents.open_intents()}
        if key in now_open:
            done.waiting.append(key)
            return
        if await self._kept.ask(key):
            return
        grace = self._foundation.deployment.workspaces.stop_grace
        try:
            await self._runner.remove(objects, grace=grace)
        except PetriHubError as exc:
            log.warning("not removed", workspace=key, reason=exc.message)
            done.waiting.append(key)
        else:
            done.removed.append(key)


def _ref(deployment: Deployment, key: str) -> PodRef:
    person, _, workspace = key.partition("/")
    return PodRef(deployment=deployment.id, person=person, workspace=workspace)


async def run_forever(deployment: Deployment) -> None:
    """Reconcile now and every minute, until the hub that started this process is gone.

    The hub gives its address, a token and its boot in the environment.
    """
    hub_process = os.getppid()
    foundation = lay(deployment, os.environ[BOOT_VARIABLE])
    hub = HubServers(os.environ["JUPYTERHUB_API_URL"], os.environ["JUPYTERHUB_API_TOKEN"])
    reconciler = Reconciler(foundation, make_runner(deployment), hub)
    silent_since = None
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    beside = [
        asyncio.create_task(keep_logs_bounded(deployment.logs)),
        asyncio.create_task(count_forever(foundation)),
    ]
    if deployment.backend != "local":  # there, nobody has a place that could be taken back
        beside.append(asyncio.create_task(watch(Withdrawals(foundation, hub))))
    for number in (signal.SIGINT, signal.SIGTERM):
        # set here, since a hub that was started in the background passes on an ignored Ctrl-C
        loop.add_signal_handler(number, task.cancel if task else loop.stop)
    try:
        while os.getppid() == hub_process:
            pause = await _round(reconciler)
            silent_since = None if pause is not None else silent_since or loop.time()
            if silent_since and loop.time() - silent_since > _SILENCE:
                log.warning("the hub is silent; this reconciler ends, a living hub starts another")
                return
            await _sleep_beside(hub_process, SOON if pause is None else pause)
    except OutOfDate:
        log.info("another hub has taken over")
    except asyncio.CancelledError:
        log.info("asked to end")
    finally:
        for each in beside:
            each.cancel()
        await asyncio.wait(beside)  # each first takes away what it has on the engine
        await hub.close()
        await foundation.database.close()


async def keep_logs_bounded(folder: Path) -> None:
    """Cut what grows too long, every second, so that a noisy workspace cannot fill the disk."""
    while True:
        try:
            await asyncio.to_thread(bound_all, folder)
        except OSError as exc:
            log.warning("the logs cannot be cut", reason=str(exc))
        await asyncio.sleep(1)


async def _sleep_beside(hub_process: int, seconds: int) -> None:
    """Sleep, but no longer than the hub lives."""
    for _ in range(seconds):
        await asyncio.sleep(1)
        if os.getppid() != hub_process:
            return


async def _round(reconciler: Reconciler) -> int | None:
    """Seconds until the next round is due; None if hub or engine could not be asked."""
    try:
        done = await reconciler.once()
    except OutOfDate:
        raise
    except Unavailable as exc:
        log.warning("not reconciled", reason=exc.message)
        return None
    except Exception:
        # this loop must live on: what is wrong with one workspace must not keep the others
        log.exception("a round failed")
        return EVERY
    for what in ("adopted", "finished", "failed", "removed", "waiting"):
        for key in getattr(done, what):
            log.info("reconciled", what=what, workspace=key)
    return SOON if done.waiting else EVERY
