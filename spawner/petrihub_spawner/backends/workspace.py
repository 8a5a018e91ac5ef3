"""WorkspaceSteps: what the spawners share: plan, record, word. Runs nothing itself."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from traitlets import default

from petrihub_core import at_stop
from petrihub_core.errors import PetriHubError, Unsupported
from petrihub_core.intents import GIVEN_UP, STOP, Asked
from petrihub_core.records import IntentRow
from petrihub_spawner.backends.choosing import ChoosingSteps, SpawnRefused
from petrihub_spawner.backends.runners import shared_runner
from petrihub_spawner.carrying import with_storage_key
from petrihub_spawner.choices import Choices
from petrihub_spawner.circumstances import Circumstances
from petrihub_spawner.effects import (
    TELL,
    effect_on,
    note_ended,
    note_failed,
    start_of,
    wait_of,
)
from petrihub_spawner.failpoints import fail_point
from petrihub_spawner.journal import IntentJournal
from petrihub_spawner.planner import Request, plan
from petrihub_spawner.pod.model import PodRef, WorkspacePod
from petrihub_spawner.progress import Event, Progress
from petrihub_spawner.runner import Address, Look, Runner, Silent
from petrihub_spawner.saving import with_credential
from petrihub_spawner.stages import LONGEST_FETCH, TRY_AGAIN, Stage, StartFailed
from petrihub_spawner.turns import LONGEST_WAIT, shared_turns
from petrihub_spawner.waits import turn_of

_TOKEN_VARIABLE = "JUPYTERHUB_API_TOKEN"  # noqa: S105 - the name of a variable, not a token
_MARGIN = 60  # seconds past its own limits after which an intent counts as abandoned


class WorkspaceSteps(ChoosingSteps):
    """The shared half of the spawners; comes first among the bases, before JupyterHub's class."""

    _progress: Progress | None = None
    _starting = False
    _in_line = False  # the start was not begun outside yet, and may be on record as waiting
    _cut_off = ""  # the intent of a start that was cancelled
    _recalled = False
    tells_use = False  # a gate reports when it was used: see `WorkspaceProxy`

    # --- what a backend may give  -------------------------------------------------------------

    def runner(self) -> Runner:
        """The runner that all workspaces of this hub share."""
        return shared_runner()

    def listen_at(self) -> int:
        """Set `ip` and `port` for the next start; the port on which the workspace will answer."""
        raise Unsupported(f"{type(self).__name__} cannot choose a port.")

    # --- timing that follows the deployment -----------------------------------------------

    @default("start_timeout")
    def _start_limit(self) -> int:
        # ours come first, and name the stage
        limit = self.foundation.deployment.workspaces.start_timeout
        return int(LONGEST_WAIT) + LONGEST_FETCH + limit + _MARGIN

    # --- start ----------------------------------------------------------------------------

    async def run_start(self) -> str:
        """Plan, record and run; the address of the workspace. Raises `SpawnRefused` in words."""
        progress = self._journey()
        self._starting = True
        try:
            url = await self._start_recorded(progress)
        except PetriHubError as exc:
            progress.failed(exc)
            raise SpawnRefused(exc, progress.stage) from exc
        except Exception:
            progress.failed(PetriHubError("Something unexpected happened.", hint=TELL))
            raise
        except asyncio.CancelledError:
            progress.failed(PetriHubError(GIVEN_UP))
            raise
        finally:
            self._starting = False
        progress.ready()
        return url

    async def _start_recorded(self, progress: Progress) -> str:
        intents, turns = self.foundation.intents, shared_turns()
        await self._require_saved()
        seen = await self._circumstances()
        choices = self._judge(self.user_options, seen)
        turns.at_once = seen.starts_at_once
        usual = await intents.start_seconds(choices.profile.id, choices.size.id)
        progress.queued(usual if turns.room() else None)
        wait = wait_of(await self.ref(), self.user.name, self._title(), choices)
        self._in_line = True
        try:
            async with turn_of(turns, intents, wait, progress, self._active) as waited:
                if waited:  # much may have changed meanwhile
                    progress.called(usual, waited)
                    seen = await self._circumstances()
                    choices = self._judge(self.user_options, seen)
                    turns.at_once = seen.starts_at_once
                return await self._start_now(progress, choices, seen)
        except PetriHubError as exc:
            if self._in_line:
                await self._note_refused(exc, choices)
            raise

    def _active(self) -> int:
        return sum(bool(each.active) for each in self.user.spawners.values())

    async def _start_now(self, progress: Progress, choices: Choices, seen: Circumstances) -> str:
        intents = self.foundation.intents
        progress.step("plan")
        pod = await self.planned_pod(choices, seen)
        self._ref, self.tells_use = pod.ref, bool(pod.door.keeper)
        row = await intents.begin(
            start_of(pod, choices),
            deadline_s=pod.start_timeout + _MARGIN,
            asked=self._asked(),
        )
        self._in_line = False
        fail_point("start.begun")
        journal = IntentJournal(intents, row.id, "start", progress)
        try:
            pod = await with_credential(
                self.foundation.database, replace(pod, intent=row.id), choices, seen.images
            )
            pod = await with_storage_key(self.foundation.database, self.foundation.deployment, pod)
            address = await self._in_time(pod, journal)
        except asyncio.CancelledError:
            self._cut_off = row.id
            raise
        except BaseException as exc:
            await asyncio.shield(note_failed(intents, self._title(), row.id, exc))
            raise
        fail_point("start.ready.unrecorded")
        await intents.finish(row.id)
        fail_point("start.finished")
        return address.url

    def _asked(self) -> Asked | None:
        """Who asked at the hub itself; of who asks in the portal there is a row already."""
        asker = self.handler.current_user if self.handler else None
        if asker is None or asker.kind != "user":
            return None
        return Asked(asker.name, f"{self.user.name}/{self.name}")

    async def _in_time(self, pod: WorkspacePod, journal: IntentJournal) -> Address:
        limit = pod.start_timeout + _MARGIN // 2
        try:
            async with asyncio.timeout(limit) as clock:
                journal.limited(clock, limit, _MARGIN // 2)
                return await self.runner().start(pod, journal)
        except TimeoutError as exc:
            raise StartFailed(
                f"The workspace was not ready within {pod.start_timeout} seconds.",
                stage=Stage.STARTING,
                hint=TRY_AGAIN,
            ) from exc

    async def planned_pod(self, choices: Choices, seen: Circumstances) -> WorkspacePod:
        """The pod of the next start; raises in words if it cannot be had."""
        port = self.listen_at()
        return plan(
            Request(
                person=seen.person.id,
                workspace=self.name,
                username=self.user.name,
                choices=choices,
                deployment=self.foundation.deployment,
                images=seen.images,
                catalog=await asyncio.to_thread(self._catalog),
                hub_environment=self.get_env(),
                port=port,
                ready_path=f"{self.server.base_url}api",
                as_root=os.geteuid() == 0,
                refused_apps={each.id: each.refusal for each in seen.offered.apps},
                image_server=seen.image_server,
                places=seen.places,
                started_as=seen.started_as,
            )
        )

    # --- stop -----------------------------------------------------------------------------

    async def run_stop(self, *, now: bool = False) -> None:
        """Record, then end the workspace; raises `PetriHubError` if it could not be ended."""
        ref = await self.ref()
        grace = 0 if now else self.foundation.deployment.workspaces.stop_grace
        intents = self.foundation.intents
        row = await intents.begin(effect_on(ref, STOP), deadline_s=grace + _MARGIN)
        fail_point("stop.begun")
        try:
            await self._end(ref, grace, IntentJournal(intents, row.id, "stop"))
        except BaseException as exc:
            reason = exc.jupyterhub_message if isinstance(exc, PetriHubError) else "Interrupted."
            await asyncio.shield(intents.fail(row.id, reason))
            raise
        fail_point("stop.ended")
        await intents.finish(row.id)
        fail_point("stop.finished")

    async def _end(self, ref: PodRef, grace: int, journal: IntentJournal) -> None:
        """Remove the workspace, or keep it until it is saved."""
        kept = await self._ask_to_save(ref)
        end = self.runner().keep if kept else self.runner().stop
        await end(ref, grace=grace, journal=journal)

    async def _ask_to_save(self, ref: PodRef) -> bool:
        async with self.foundation.database.session() as session:
            order = await at_stop.ask(session, ref.person, ref.workspace)
        fail_point("stop.asked")
        return order is not None

    # --- watch ----------------------------------------------------------------------------

    async def run_poll(self) -> int | None:
        """None while it runs or starts, or while nobody can tell; else 0, with its remains gone."""
        if self._starting:
            return None
        ref = await self._ref_if_any()
        if ref is None or await self._is_kept(ref):
            return 0
        await self._give_up(ref)
        if not self._recalled:
            self._recalled = True
            await self._finish_interrupted_stop(ref)
        look = await self.runner().look(ref)
        if look.running or not look.known:
            self._take_token_back(look)
            return None
        await self._bury(ref, look)
        return 0

    async def _is_kept(self, ref: PodRef) -> bool:
        """Whether it has stopped, and only waits to be saved."""
        async with self.foundation.database.reading() as session:
            return await at_stop.kept_of(session, ref.person, ref.workspace) is not None

    async def _give_up(self, ref: PodRef) -> None:
        """Write down that the start was cancelled because somebody gave it up.

        Not when it is cancelled: JupyterHub does that also when it ends itself, and then the
        reconciler goes on with it. Only of a start that was given up does it ask what there is.
        """
        if self._in_line:
            self._in_line = False
            await self.foundation.intents.leave_line(ref.key)
        if self._cut_off:
            await self.foundation.intents.fail(self._cut_off, GIVEN_UP)
            self._cut_off = ""

    async def run_get_url(self) -> str | None:
        """Where the workspace answers, if the backend can tell."""
        look = await self.runner().look(await self.ref())
        return look.address.url + self.server.base_url if look.address else None

    async def _finish_interrupted_stop(self, ref: PodRef) -> None:
        """Go on with a stop that an earlier life of the hub began."""
        intents = self.foundation.intents
        for row in await intents.open_intents():
            if row.workspace == ref.key and _is_stop_of_another_life(row, intents.boot):
                await self._end(ref, 0, IntentJournal(intents, row.id, "stop"))
                await intents.finish(row.id)

    def _take_token_back(self, look: Look) -> None:
        # JupyterHub forgets the token over a restart, and could then not revoke it at stop
        if not self.api_token:
            self.api_token = look.environment.get(_TOKEN_VARIABLE, "")

    async def _bury(self, ref: PodRef, look: Look) -> None:
        remains = await self.runner().find(ref)
        if remains and await self._ask_to_save(ref):
            await self.runner().keep(ref, grace=0, journal=Silent())
        elif remains:
            self.log.warning("Workspace %s ended: %s", ref.name, look.ended)
            await self.runner().remove(remains, grace=0)
        await note_ended(self.foundation.intents, self._title(), ref, look.ended)

    # --- what JupyterHub keeps for us -----------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Which workspace this is, so that the reconciler and a restarted hub know."""
        state: dict[str, Any] = super().get_state()  # type: ignore[misc]
        if self._ref is not None:
            state["workspace"] = self._ref.key
        return {**state, "tells_use": self.tells_use}

    def load_state(self, state: dict[str, Any]) -> None:
        """What a restarted hub must know of a workspace that runs."""
        super().load_state(state)  # type: ignore[misc]
        self.tells_use = bool(state.get("tells_use", False))

    def clear_state(self) -> None:
        """Forget the last start's progress."""
        super().clear_state()  # type: ignore[misc]
        if self._progress and self._progress.ended:  # a reader may have come before the start
            self._progress = None
        self._recalled = True

    async def progress(self) -> AsyncIterator[Event]:
        """The events of the present start."""
        async for event in self._journey().events():
            yield event

    def _journey(self) -> Progress:
        if self._progress is None:
            self._progress = Progress()
        return self._progress


def _is_stop_of_another_life(row: IntentRow, boot: str) -> bool:
    return row.kind == STOP and row.boot != boot
