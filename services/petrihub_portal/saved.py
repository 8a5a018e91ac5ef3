"""Checkpoints as people see them: in words, with what comes next, and a way to go on from one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import checkpoints
from petrihub_core.checkpoint_access import seen
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoint_sharing import shared_with
from petrihub_core.checkpoints import OPEN, State
from petrihub_core.errors import Conflict, Unsupported
from petrihub_core.image_server import find_image_server
from petrihub_core.images import allowed_images
from petrihub_core.records import Person, WorkspaceImage
from petrihub_core.roles import Actor
from petrihub_portal import acting
from petrihub_portal.context import Portal
from petrihub_portal.my_workspaces import look, new_name
from petrihub_portal.warned import words_of

_STAGES = {
    "base": "Keeping the image below it, which is needed once",
    "comparing": "Looking for what has changed",
    "packing": "Packing what has changed",
    "pushing": "Storing it",
    "verifying": "Reading it back",
}
_LOCAL = (
    "This PetriHub runs workspaces as programs of one machine, so there are no images to save. "
    "Checkpoints need the Docker backend."
)
_NO_SERVER = "The image server does not run. Ask your administrator to look at it."


@dataclass(frozen=True, kw_only=True)
class Saved:
    """One checkpoint or order. `percent` is None where nobody knows how much there is."""

    row: Checkpoint
    parent: str
    words: str
    older: bool
    percent: int | None = None

    @property
    def open(self) -> bool:
        """Whether it is still being saved, or waits for a word."""
        return self.row.state in OPEN

    @property
    def moving(self) -> bool:
        """Whether it goes on by itself, so that looking again soon is worth it."""
        return self.open and self.row.state != State.CONFIRM

    @property
    def warned(self) -> list[tuple[str, str]]:
        """Files that somebody must look at before it is saved, and why."""
        return [(str(one["path"]), words_of(str(one["pattern"]))) for one in self.row.findings]

    @property
    def kept(self) -> bool:
        """Whether the workspace has stopped, and what was changed in it is lost without this."""
        return self.open and self.row.at_stop


def unavailable(portal: Portal) -> str:
    """Why nothing can be saved in this deployment; empty if it can."""
    if portal.deployment.backend == "local":
        return _LOCAL
    return "" if find_image_server(portal.deployment) else _NO_SERVER


async def saved(session: AsyncSession, person: Person, workspace: str | None = None) -> list[Saved]:
    """The person's checkpoints and orders, newest first."""
    images = list((await allowed_images(session)).values())
    every = await checkpoints.listed(session, person.id)
    others = await shared_with(session, person.id)
    names = {each.checkpoint.id: f"{each.checkpoint.name} of {each.sharer}" for each in others}
    names |= {each.id: each.name for each in every}
    return [
        _shown(each, names, images)
        for each in every
        if workspace is None or each.workspace == workspace
    ]


def _shown(row: Checkpoint, names: Mapping[str, str], images: Sequence[WorkspaceImage]) -> Saved:
    return Saved(
        row=row,
        parent=names.get(row.parent_id or "", ""),
        words=_words(row),
        older=checkpoints.rebuilt(row, images),
        percent=_percent(row.progress),
    )


def _words(row: Checkpoint) -> str:
    stage = str(row.progress.get("stage", ""))
    if row.state == State.FAILED:
        return row.reason
    if row.state == State.WAITING:
        return f"{row.reason} What you changed is kept, and it is tried again until it is saved."
    if row.state == State.ASKED and stage == "waiting":
        return f"Waiting: {row.progress.get('problem', '')}"
    if row.state == State.ASKED and stage not in _STAGES:
        return "Waiting for the workspace"
    if row.state in (State.ASKED, State.MEASURING, State.SAVING):
        files = int(row.progress.get("files") or 0)
        words = _STAGES.get(stage, "The workspace has begun")
        return f"{words}: {files:,} files" if files else words
    return ""


def _percent(progress: Mapping[str, Any]) -> int | None:
    whole = int(progress.get("total_bytes") or 0)
    there = int(progress.get("bytes") or 0)
    return min(100, there * 100 // whole) if whole else None


async def continue_from(
    portal: Portal, actor: Actor, person: Person, checkpoint_id: str, typed: str
) -> str:
    """Start a new workspace from a checkpoint; its name. Raises in words if that cannot be."""
    async with portal.database.reading() as session:
        row, shared = await seen(session, person.id, checkpoint_id)
    if row.state != State.DONE:
        raise Conflict("This is not saved, so nothing can be started from it.")
    if why := unavailable(portal):
        raise Unsupported(why)
    _, name = new_name(await look(portal, person), typed)
    options = {"profile": row.profile, "checkpoint": row.id}
    if shared is None:  # somebody else's size need not be theirs
        options["size"] = row.size
    await acting.start_new(portal, actor, person, name, options)
    return name


async def comparable(session: AsyncSession, person: Person, row: Checkpoint) -> list[Checkpoint]:
    """The checkpoints with which this one can be compared, newest first."""
    mine = await checkpoints.restorable(session, person.id)
    shared = [each.checkpoint for each in await shared_with(session, person.id)]
    return [
        each
        for each in (*mine, *shared)
        if each.id != row.id and each.base_digest == row.base_digest
    ]


def require_comparable(first: Checkpoint, second: Checkpoint) -> None:
    """Raises `Conflict` for two that do not stand on the same image."""
    if first.base_digest != second.base_digest:
        raise Conflict(
            f"{first.name} and {second.name} stand on different images.",
            hint="Compare two checkpoints of the same image.",
        )
