"""ChoosingSteps: for whom a workspace is, what they are offered, and whether a choice is theirs."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from jupyterhub.spawner import SpawnException
from traitlets import Unicode, default
from traitlets.config import Configurable

from petrihub_core import at_stop
from petrihub_core.apps import AppDescriptor, catalog_apps
from petrihub_core.errors import NotAllowed, PetriHubError, Refused
from petrihub_core.maintenance import require_open
from petrihub_core.people import by_username
from petrihub_core.records import now
from petrihub_spawner.choices import Choices, read_choices, read_form, read_words
from petrihub_spawner.circumstances import Circumstances, circumstances_of, unknown_person
from petrihub_spawner.effects import note_refused
from petrihub_spawner.foundation import SHIPPED_APPS, Foundation, foundation
from petrihub_spawner.offer import Offer, make_offer, with_checkpoints
from petrihub_spawner.planner import workspace_ref
from petrihub_spawner.pod.model import PodRef
from petrihub_spawner.progress import failure_html, failure_text
from petrihub_spawner.stages import Stage

_PACKAGE = Path(__file__).resolve().parents[1]


class SpawnRefused(SpawnException):  # type: ignore[misc]  # JupyterHub has no types
    """An error of ours in the form that JupyterHub shows on its pages and in its API."""

    def __init__(self, error: PetriHubError, stage: Stage | None = None) -> None:
        message = failure_text(error, stage) if stage else error.jupyterhub_message
        super().__init__(message, reason=str(stage or "refused"), status_code=error.status)
        self.jupyterhub_message = message
        self.jupyterhub_html_message = failure_html(error, stage) if stage else None


class ChoosingSteps(Configurable):
    """The half of the spawners that runs before anything starts."""

    # what JupyterHub's class, further back among the bases, brings
    user: Any
    name: str
    server: Any
    orm_spawner: Any
    user_options: Any
    api_token: str
    handler: Any  # of the request that asked for the present start, else None
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
        chosen = await self._going_on(dict(chosen))
        seen = await self._circumstances()
        offer = await make_offer(
            self.foundation.deployment,
            self.foundation.intents,
            seen.offered,
            seen.images,
            await asyncio.to_thread(self._catalog),
            chosen,
        )
        offer = with_checkpoints(
            offer,
            seen.saved,
            seen.offered,
            seen.images,
            str(chosen.get("checkpoint", "")),
            sharers=seen.sharers,
        )
        try:
            require_open(seen.maintenance, now())
        except PetriHubError as exc:
            return replace(offer, closed=exc.jupyterhub_message)
        return offer

    async def _going_on(self, chosen: dict[str, str]) -> dict[str, str]:
        """The last choices; after a stop at which it was saved, from there."""
        ref = await self._ref_if_any()
        if ref is None:
            return chosen
        async with self.foundation.database.reading() as session:
            return await at_stop.options_to_go_on(session, ref.person, ref.workspace, chosen)

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
        try:
            await self._require_saved()
        except PetriHubError as exc:
            raise SpawnRefused(exc) from exc

    def _judge(self, options: object, seen: Circumstances) -> Choices:
        workspace_ref(self.foundation.deployment, "", self.name)
        choices = read_choices(options, seen.offered, contact=seen.contact, saved=seen.saved)
        if not seen.person.active:
            raise NotAllowed("This account is closed.", hint="Ask the administrator.")
        require_open(seen.maintenance, now())
        return choices

    async def _require_saved(self) -> None:
        """Raise `Conflict` in words while what was changed in the last run is still being saved."""
        ref = await self.ref()
        async with self.foundation.database.reading() as session:
            await at_stop.require_none(session, ref.person, ref.workspace)

    async def _ref_if_any(self) -> PodRef | None:
        with suppress(Refused, NotAllowed):
            return await self.ref()
        return None

    # --- what was refused -----------------------------------------------------------------

    async def _note_refused(self, error: PetriHubError, choices: Choices | None = None) -> None:
        ref = await self._ref_if_any()
        if ref is not None:
            await note_refused(self.foundation.intents, self._title(), ref, error, choices)

    def _title(self) -> str:
        return (self.orm_spawner and self.orm_spawner.display_name) or self.name
