"""Moving a checkpoint onto its image as it was built anew: what would collide, and the word."""

from typing import Annotated, Any

from fastapi import Path
from fastapi.responses import Response

from petrihub_core import checkpoint_moves, checkpoints
from petrihub_core.errors import Conflict, PetriHubError
from petrihub_portal.pages import fragment, go, page
from petrihub_portal.routing import Area, Open
from petrihub_portal.visit import CurrentVisit, Visit

area = Area("Checkpoints")

Id = Annotated[str, Path(max_length=64)]


@area.page("POST", "/checkpoints/{checkpoint_id}/move", needs=Open.SIGNED_IN)
async def look(visit: CurrentVisit, checkpoint_id: Id) -> Response:
    """Order a look at what would collide."""
    try:
        async with visit.portal.database.session() as session:
            await checkpoint_moves.ask(session, visit.actor.name, visit.me, checkpoint_id)
    except Conflict as exc:
        return go(visit, "checkpoints", said=exc.jupyterhub_message, kind="bad")
    return go(visit, f"checkpoints/{checkpoint_id}/move")


@area.page("GET", "/checkpoints/{checkpoint_id}/move", needs=Open.SIGNED_IN)
async def move_page(visit: CurrentVisit, checkpoint_id: Id) -> Response:
    """How far a move is, and what collides."""
    return await page(visit, "checkpoint_move.html", **await _values(visit, checkpoint_id))


@area.page("GET", "/checkpoints/{checkpoint_id}/move/state", needs=Open.SIGNED_IN)
async def move_state(visit: CurrentVisit, checkpoint_id: Id) -> Response:
    """The same alone, for htmx to put in place again and again."""
    return fragment(visit, "parts/checkpoint_move.html", **await _values(visit, checkpoint_id))


async def _values(visit: Visit, checkpoint_id: str) -> dict[str, Any]:
    async with visit.portal.database.reading() as session:
        row = await checkpoints.mine(session, visit.me.id, checkpoint_id)
        return {"row": row, "move": await checkpoint_moves.latest(session, row.id)}


@area.page("POST", "/checkpoints/{checkpoint_id}/move/confirm", needs=Open.SIGNED_IN)
async def confirm(visit: CurrentVisit, checkpoint_id: Id) -> Response:
    """Move it, whatever collides."""
    where = f"checkpoints/{checkpoint_id}/move"
    try:
        async with visit.portal.database.session() as session:
            await checkpoint_moves.confirm(session, visit.actor.name, visit.me, checkpoint_id)
    except PetriHubError as exc:
        if exc.status != Conflict.status:
            raise
        return go(visit, where, said=exc.jupyterhub_message, kind="bad")
    return go(visit, where)
