"""WorkspaceSteps: what the spawners share: choose, plan, record, word. Runs nothing itself."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from jupyterhub.spawner import SpawnException
from traitlets import Unicode, default
from traitlets.config import Configurable

from petrihub_core.apps import AppDescriptor, catalog_apps
from petrihub_core.errors import NotAllowed, PetriHubError, Refused, Unsupported
from petrihub_core.intents import GIVEN_UP, STOP
from petrihub_core.maintenance import require_open
from petrihub_core.people import by_username
from petrihub_core.records import IntentRow, now
from petrihub_spawner.backends.runners import shared_runner
from petrihub_spawner.choices import Choices, read_choices, read_form, read_words
from petrihub_spawner.circumstances import Circumstances, circumstances_of, unknown_person
from petrihub_spawner.effects import (
    TELL,
    effect_on,
    note_ended,
    note_failed,
    note_refused,
    start_of,
)
from petrihub_spawner.failpoints import fail_point
from petrihub_spawner.foundation import SHIPPED_APPS, Foundation, foundation
from petrihub_spawner.journal import IntentJournal
from petrihub_spawner.offer import Offer, make_offer
from petrihub_spawner.planner import Request, plan, workspace_ref
from petrihub_spawner.pod.model import PodRef, WorkspacePod
from petrihub_spawner.progress import Event, Progress, failure_html, failure_text
from petrihub_spawner.runner import Look, Runner
from petrihub_spawner.stages import Stage

_PACKAGE = Path(__file__).resolve().parents[1]
_TOKEN_VARIABLE = "JUPYTERHUB_API_TOKEN"  # noqa: S105 - the name of a variable, not a token
_MARGIN = 60  # seconds past its own limits after which an intent counts as abandoned


class SpawnRefused(SpawnException):  # type: ignore[misc]  # JupyterHub has no types
    """An error of ours in the form that JupyterHub shows on its pages and in its API."""

    def __init__(self, error: PetriHubError, stage: Stage | None = None) -> None:
        message = failure_text(error, stage) if stage else error.jupyterhub_message
        super().__init__(message, reason=str(stage or "refused"), status_code=error.status)
        self.jupyterhub_message = message
        self.jupyterhub_html_message = failure_html(error, stage) if stage else None


class WorkspaceSteps(Configurable):
    """The shared half of the spawners; comes first among the bases, before JupyterHub's class."""

    # what JupyterHub's class, further back among the bases, brings
    user: Any
    name: str
    server: Any
    orm_spawner: Any
    user_options: Any
    api_token: str
    log: Any
    get_env: Callable[[], dict[str, str]]

    apps_folder = Unicode(
        str(SHIPPED_APPS),
        help="""
        Folder with the app descriptors of the local backend, one JSON file each.

        A folder that does not exist means that no apps are offered. Containers do not need it:
        their images declare their apps.
        """,
    ).tag(config=True)

    _ref: PodRef | None = None
    _progress: Progress | None = None
    _starting = False
    _recalled = False

    # --- what a backend may give  -------------------------------------------------------------

    def runner(self) -> Runner:
        """The runner that all workspaces of this hub share."""
        return shared_runner()

    def listen_at(self) -> int:
        """Set `ip` and `port` for the next start; the port on which the workspace will answer."""
        raise Unsupported(f"{type(self).__name__} cannot choose a port.")

    # --- who, what ------------------------------------------------------------------------

    @property
    def foundation(self) -> Foundation:
        """Deployment, database and intents of this hub process."""
        return foundation()

    async def _circumstances(self) -> Circumstances:
        return await circumstances_of(self.foundation, self.user.name)

    async def person_id(self) -> str:
        """The immutable id of the workspace's owner; raises `NotAllowed` if there is none."""
        async with self.foundation.database.reading() as session:
            person = await by_username(session, self.user.name)
        if person is None:
            raise unknown_person(self.user.name)
        return person.id

    async def ref(self) -> PodRef:
        """Which workspace this spawner is for."""
        if self._ref is None:
            self._ref = workspace_ref(self.foundation.deployment, await self.person_id(), self.name)
        return self._ref

    def _catalog(self) -> tuple[AppDescriptor, ...]:
        return catalog_apps(Path(self.apps_folder))

    # --- the start page -------------------------------------------------------------------

    async def offer(self) -> Offer:
        """What the start page shows."""
        chosen = (self.orm_spawner.user_options if self.orm_spawner else None) or {}
        seen = await self._circumstances()
        offer = await make_offer(
            self.foundation.deployment,
            self.foundation.intents,
            seen.offered,
            seen.images,
            await asyncio.to_thread(self._catalog),
            chosen,
        )
        try:
            require_open(seen.maintenance, now())
        except PetriHubError as exc:
            return replace(offer, closed=exc.jupyterhub_message)
        return offer

    @default("options_form")
    def _form(self) -> Any:
        return type(self)._render_form

    async def _render_form(self, error: str = "") -> str:
        templates = Environment(
            loader=FileSystemLoader(_PACKAGE / "templates"), autoescape=True, enable_async=True
        )
        template = templates.get_template("spawn_form.html")
        return await template.render_async(
            offer=await self.offer(), error=error, workspace=self.name
        )

    async def options_from_form(self, form: dict[str, list[Any]]) -> dict[str, str]:
        """The posted choices, judged; raises `SpawnRefused`."""
        try:
            return self._judge(read_form(form), await self._circumstances()).options()
        except PetriHubError as exc:
            raise SpawnRefused(exc) from exc

    def options_from_query(self, query: dict[str, list[str]]) -> dict[str, str]:
        """Always refused: following a link must not start anything."""
        raise SpawnRefused(
            Refused("A link cannot start a workspace.", hint="Choose below and press Start.")
        )

    @default("apply_user_options")
    def _closed_schema(self) -> Any:
        # runs for every start, also for options that came by the API or were stored earlier,
        # and before anything is started
        return type(self)._judge_stored

    def _judge_stored(self, options: object) -> Awaitable[None]:
        # what is forged is refused in the very request; the menu must be asked for, which waits
        try:
            workspace_ref(self.foundation.deployment, "", self.name)
            read_words(options)
        except PetriHubError as exc:
            raise SpawnRefused(exc) from exc
        return self._judge_by_menu(options)

    async def _judge_by_menu(self, options: object) -> None:
        try:
            self._judge(options, await self._circumstances())
        except PetriHubError as exc:
            await self._note_refused(exc)
            raise SpawnRefused(exc) from exc

    def _judge(self, options: object, seen: Circumstances) -> Choices:
        workspace_ref(self.foundation.deployment, "", self.name)
        choices = read_choices(options, seen.offered, contact=seen.contact)
        if not seen.person.active:
            raise NotAllowed("This account is closed.", hint="Ask the administrator.")
        require_open(seen.maintenance, now())
        return choices

    # --- timing that follows the deployment -----------------------------------------------

    @default("start_timeout")
    def _start_limit(self) -> int:
        # ours comes first, and names the stage
        return self.foundation.deployment.workspaces.start_timeout + _MARGIN // 2

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
        intents = self.foundation.intents
        seen = await self._circumstances()
        choices = self._judge(self.user_options, seen)
        progress.queued(await intents.start_seconds(choices.profile.id, choices.size.id))
        progress.step("plan")
        try:
            pod = await self.planned_pod(choices, seen)
        except PetriHubError as exc:
            await self._note_refused(exc, choices)
            raise
        self._ref = pod.ref
        row = await intents.begin(start_of(pod, choices), deadline_s=pod.start_timeout + _MARGIN)
        fail_point("start.begun")
        journal = IntentJournal(intents, row.id, "start", progress)
        try:
            address = await self.runner().start(replace(pod, intent=row.id), journal)
        except BaseException as exc:
            await asyncio.shield(note_failed(intents, self._title(), row.id, exc))
            raise
        fail_point("start.ready.unrecorded")
        await intents.finish(row.id)
        fail_point("start.finished")
        return address.url

    async def _note_refused(self, error: PetriHubError, choices: Choices | None = None) -> None:
        ref = await self._ref_if_any()
        if ref is not None:
            await note_refused(self.foundation.intents, self._title(), ref, error, choices)

    def _title(self) -> str:
        return (self.orm_spawner and self.orm_spawner.display_name) or self.name

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
            await self.runner().stop(
                ref, grace=grace, journal=IntentJournal(intents, row.id, "stop")
            )
        except BaseException as exc:
            reason = exc.jupyterhub_message if isinstance(exc, PetriHubError) else "Interrupted."
            await asyncio.shield(intents.fail(row.id, reason))
            raise
        fail_point("stop.ended")
        await intents.finish(row.id)
        fail_point("stop.finished")

    # --- watch ----------------------------------------------------------------------------

    async def run_poll(self) -> int | None:
        """None while it runs or starts, or while nobody can tell; else 0, with its remains gone."""
        if self._starting:
            return None
        ref = await self._ref_if_any()
        if ref is None:
            return 0
        if not self._recalled:
            self._recalled = True
            await self._finish_interrupted_stop(ref)
        look = await self.runner().look(ref)
        if look.running or not look.known:
            self._take_token_back(look)
            return None
        await self._bury(ref, look)
        return 0

    async def run_get_url(self) -> str | None:
        """Where the workspace answers, if the backend can tell."""
        look = await self.runner().look(await self.ref())
        return look.address.url + self.server.base_url if look.address else None

    async def _ref_if_any(self) -> PodRef | None:
        with suppress(Refused, NotAllowed):
            return await self.ref()
        return None

    async def _finish_interrupted_stop(self, ref: PodRef) -> None:
        """Go on with a stop that an earlier life of the hub began."""
        intents = self.foundation.intents
        for row in await intents.open_intents():
            if row.workspace == ref.key and _is_stop_of_another_life(row, intents.boot):
                await self.runner().stop(
                    ref, grace=0, journal=IntentJournal(intents, row.id, "stop")
                )
                await intents.finish(row.id)

    def _take_token_back(self, look: Look) -> None:
        # JupyterHub forgets the token over a restart, and could then not revoke it at stop
        if not self.api_token:
            self.api_token = look.environment.get(_TOKEN_VARIABLE, "")

    async def _bury(self, ref: PodRef, look: Look) -> None:
        remains = await self.runner().find(ref)
        if remains:
            self.log.warning("Workspace %s ended: %s", ref.name, look.ended)
            await self.runner().remove(remains, grace=0)
        await note_ended(self.foundation.intents, self._title(), ref, look.ended)

    # --- what JupyterHub keeps for us -----------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Which workspace this is, so that the reconciler and a restarted hub know."""
        state: dict[str, Any] = super().get_state()  # type: ignore[misc]
        if self._ref is not None:
            state["workspace"] = self._ref.key
        return state

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
