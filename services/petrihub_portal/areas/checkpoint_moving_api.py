"""Moving checkpoints as REST: the same rules as on the pages."""

from datetime import datetime
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel

from petrihub_core import checkpoint_moves, checkpoints
from petrihub_core.checkpoint_move_records import CheckpointMove
from petrihub_core.checkpoint_moves import Step
from petrihub_core.errors import NotFound
from petrihub_portal.routing import Area, Open
from petrihub_portal.visit import CurrentVisit

area = Area("Checkpoints")

Id = Annotated[str, Path(max_length=64)]


class Collision(BaseModel):
    """A path that the checkpoint changes or deletes, and what the new image did to it."""

    path: str
    kind: str
    base: str


class MoveModel(BaseModel):
    """A move onto the newest image; `result` is the new checkpoint's id when it is done.

    `conflicts` are the first thousand of `conflict_count`.
    """

    state: Step
    name: str
    new_base: str
    conflicts: list[Collision]
    conflict_count: int
    reason: str
    result: str | None
    asked_at: datetime


def _model(move: CheckpointMove) -> MoveModel:
    return MoveModel(
        state=Step(move.state),
        name=move.name,
        new_base=move.new_base,
        conflicts=[Collision(**each) for each in move.conflicts],
        conflict_count=move.conflict_count,
        reason=move.reason,
        result=move.result_id if move.state == Step.DONE else None,
        asked_at=move.asked_at,
    )


@area.api("POST", "/my/checkpoints/{checkpoint_id}/move", needs=Open.SIGNED_IN, status_code=202)
async def look(visit: CurrentVisit, checkpoint_id: Id) -> MoveModel:
    """Look at what would collide if the checkpoint were moved onto its image as it is now."""
    async with visit.portal.database.session() as session:
        move = await checkpoint_moves.ask(session, visit.actor.name, visit.me, checkpoint_id)
        return _model(move)


@area.api("GET", "/my/checkpoints/{checkpoint_id}/move", needs=Open.SIGNED_IN)
async def state(visit: CurrentVisit, checkpoint_id: Id) -> MoveModel:
    """How far the newest move of a checkpoint is."""
    async with visit.portal.database.reading() as session:
        row = await checkpoints.mine(session, visit.me.id, checkpoint_id)
        move = await checkpoint_moves.latest(session, row.id)
    if move is None:
        raise NotFound(f"{row.name} was never to be moved.")
    return _model(move)


@area.api(
    "POST", "/my/checkpoints/{checkpoint_id}/move/confirm", needs=Open.SIGNED_IN, status_code=202
)
async def confirm(visit: CurrentVisit, checkpoint_id: Id) -> MoveModel:
    """Move it, whatever collides: the checkpoint's files win."""
    async with visit.portal.database.session() as session:
        move = await checkpoint_moves.confirm(session, visit.actor.name, visit.me, checkpoint_id)
        return _model(move)
