"""What a running workspace may ask for itself: its own checkpoints, for the panel in JupyterLab.

The way in is the workspace's own token of the hub, which is refused everywhere else.
"""

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel

from petrihub_core import checkpoints, instances
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.errors import Conflict, NotFound
from petrihub_core.images import allowed_images
from petrihub_portal.areas import checkpoints_api
from petrihub_portal.areas.checkpoints_api import (
    CheckpointDetail,
    CheckpointModel,
    NewCheckpoint,
)
from petrihub_portal.routing import Area, Open
from petrihub_portal.saved import Saved, saved, unavailable
from petrihub_portal.visit import CurrentVisit, Visit

area = Area("This workspace")

Id = Annotated[str, Path(max_length=64)]
_MOST = 200  # the newest; the portal's page has them all


class Progress(BaseModel):
    """How far a save is; sizes in bytes, `total_bytes` is null while nobody knows it."""

    stage: str
    files: int
    bytes: int
    total_bytes: int | None


class Listed(CheckpointModel):
    """A checkpoint or order with what to say about it.

    `words` is what happens now, or why it failed; `parent_name` is what it was made from;
    `older` says that its image was built anew since.
    """

    kind: str
    words: str
    parent_name: str
    older: bool
    progress: Progress


class Running(BaseModel):
    """What runs now. `checkpoint` is the id of what it was continued from, null after a fresh
    start; `rebuilt` says that the image below it was built anew since.
    """

    profile: str
    base_image: str
    base_digest: str
    checkpoint: str | None
    checkpoint_name: str
    rebuilt: bool


class ThisWorkspace(BaseModel):
    """The workspace that asks, and what was saved from it; `problem` says why it cannot be saved
    just now.
    """

    workspace: str
    problem: str
    running: Running
    checkpoints: list[Listed]


@area.api("GET", "/workspace", needs=Open.WORKSPACE)
async def this_workspace(visit: CurrentVisit) -> ThisWorkspace:
    """What runs here, and the checkpoints and orders of this workspace, newest first."""
    async with visit.portal.database.reading() as session:
        instance = await instances.of_workspace(session, visit.me.id, visit.workspace)
        if instance is None:
            raise Conflict("This workspace has ended.", hint="Start it again.")
        found = await saved(session, visit.me, visit.workspace)
        images = await allowed_images(session)
        parent = await session.get(Checkpoint, instance.checkpoint_id or "")
    models = {
        each.id: each
        for each in await checkpoints_api.my_checkpoints(visit, visit.workspace, _MOST, 0)
    }
    newest = images.get(instance.base_image)
    return ThisWorkspace(
        workspace=visit.workspace,
        problem=unavailable(visit.portal),
        running=Running(
            profile=instance.profile,
            base_image=instance.base_image,
            base_digest=instance.base_digest,
            checkpoint=instance.checkpoint_id,
            checkpoint_name=parent.name if parent else "",
            rebuilt=newest is not None and newest.digest != instance.base_digest,
        ),
        checkpoints=[_listed(models[each.row.id], each) for each in found if each.row.id in models],
    )


def _listed(model: CheckpointModel, each: Saved) -> Listed:
    told = each.row.progress
    return Listed(
        **model.model_dump(),
        kind=each.row.kind,
        words=each.words,
        parent_name=each.parent,
        older=each.older,
        progress=Progress(
            stage=str(told.get("stage", "")),
            files=int(told.get("files") or 0),
            bytes=int(told.get("bytes") or 0),
            total_bytes=told.get("total_bytes"),
        ),
    )


@area.api("POST", "/workspace/checkpoints", needs=Open.WORKSPACE, status_code=202)
async def save(visit: CurrentVisit, wanted: NewCheckpoint) -> CheckpointModel:
    """Save what is installed here; answers before it is saved."""
    row: CheckpointModel = await checkpoints_api.save(visit, visit.workspace, wanted)
    return row


@area.api("GET", "/workspace/checkpoints/{checkpoint_id}", needs=Open.WORKSPACE)
async def detail(visit: CurrentVisit, checkpoint_id: Id) -> CheckpointDetail:
    """One of this workspace's checkpoints, with what is in it."""
    await _require_own(visit, checkpoint_id)
    row: CheckpointDetail = await checkpoints_api.my_checkpoint(visit, checkpoint_id)
    return row


@area.api(
    "POST",
    "/workspace/checkpoints/{checkpoint_id}/confirm",
    needs=Open.WORKSPACE,
    status_code=202,
)
async def confirm(visit: CurrentVisit, checkpoint_id: Id) -> CheckpointModel:
    """Save what was measured, with the files that were warned of."""
    await _require_own(visit, checkpoint_id)
    row: CheckpointModel = await checkpoints_api.confirm(visit, checkpoint_id)
    return row


@area.api("POST", "/workspace/checkpoints/{checkpoint_id}/cancel", needs=Open.WORKSPACE)
async def cancel(visit: CurrentVisit, checkpoint_id: Id) -> CheckpointModel:
    """Give an open order up; what has ended stays as it is."""
    await _require_own(visit, checkpoint_id)
    row: CheckpointModel = await checkpoints_api.cancel(visit, checkpoint_id)
    return row


@area.api("DELETE", "/workspace/checkpoints/{checkpoint_id}", needs=Open.WORKSPACE, status_code=204)
async def delete(visit: CurrentVisit, checkpoint_id: Id) -> None:
    """Forget a checkpoint of this workspace that nothing stands on."""
    await _require_own(visit, checkpoint_id)
    await checkpoints_api.delete(visit, checkpoint_id)


async def _require_own(visit: Visit, checkpoint_id: str) -> None:
    """Raise `NotFound` for what was saved from another workspace, as for what is nobody's."""
    async with visit.portal.database.reading() as session:
        row = await checkpoints.mine(session, visit.me.id, checkpoint_id)
    if row.workspace != visit.workspace:
        raise NotFound(
            "This workspace has no such checkpoint.",
            hint="Those of your other workspaces are on the page Checkpoints.",
        )
