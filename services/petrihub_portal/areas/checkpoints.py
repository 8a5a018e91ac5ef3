"""Saving what was installed, and going on from it: the researcher's pages."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import quote

from fastapi import Path, Query
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import checkpoints
from petrihub_core.checkpoint_access import seen, usable
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoint_sharing import shared_with
from petrihub_core.checkpoints import Wish
from petrihub_core.errors import NotFound, PetriHubError
from petrihub_core.image_room import room_by_person
from petrihub_core.records import Person
from petrihub_portal import differences
from petrihub_portal.lineage import lineage
from petrihub_portal.my_workspaces import Workspace, look
from petrihub_portal.pages import fragment, go, page
from petrihub_portal.routing import Area, Open
from petrihub_portal.saved import (
    comparable,
    continue_from,
    require_comparable,
    saved,
    unavailable,
)
from petrihub_portal.visit import CurrentVisit, Visit, form_of

area = Area("Checkpoints")

Name = Annotated[str, Path(max_length=64)]
Id = Annotated[str, Path(max_length=64)]
Change = Callable[[AsyncSession, str, Person, str], Awaitable[Checkpoint]]


@area.page("GET", "/checkpoints", needs=Open.SIGNED_IN)
async def all_checkpoints(visit: CurrentVisit) -> Response:
    """Everything that I have saved, also from workspaces that are gone."""
    return await _all(visit)


async def _all(visit: Visit, *, status: int = 200, problem: str = "") -> Response:
    async with visit.portal.database.reading() as session:
        found = await saved(session, visit.me)
        room = await room_by_person(session, visit.me.id)
        shared = await shared_with(session, visit.me.id)
        tree = lineage(*await usable(session, visit.me.id))
    return await page(
        visit,
        "checkpoints.html",
        status=status,
        workspace=None,
        name="",
        room=room[0] if room else None,
        saved=found,
        shared=shared,
        lineage=tree,
        problem=problem,
        typed={},
        missing=unavailable(visit.portal),
    )


@area.page("GET", "/workspaces/{name}/checkpoints", needs=Open.SIGNED_IN)
async def of_workspace(visit: CurrentVisit, name: Name) -> Response:
    """What was saved from one workspace, and the way to save it now."""
    return await _one(visit, name)


async def _one(
    visit: Visit,
    name: str,
    *,
    status: int = 200,
    problem: str = "",
    typed: dict[str, str] | None = None,
) -> Response:
    workspace = await _found(visit, name)
    async with visit.portal.database.reading() as session:
        found = await saved(session, visit.me, name)
    if workspace is None and not found:
        raise NotFound("You have no such workspace.", hint="It may have been deleted.")
    return await page(
        visit,
        "checkpoints.html",
        status=status,
        workspace=workspace,
        name=name,
        room=None,
        saved=found,
        shared=(),
        lineage=(),
        problem=problem,
        typed=typed or {},
        missing=unavailable(visit.portal),
    )


async def _found(visit: Visit, name: str) -> Workspace | None:
    """The workspace; None if it was deleted, which leaves its checkpoints."""
    try:
        return (await look(visit.portal, visit.me)).named(name)
    except NotFound:
        return None


@area.page("GET", "/checkpoints/list", needs=Open.SIGNED_IN)
async def rows(visit: CurrentVisit, workspace: str = "") -> Response:
    """The list alone, for htmx to put in place again and again."""
    async with visit.portal.database.reading() as session:
        found = await saved(session, visit.me, workspace[:64] or None)
    return fragment(visit, "parts/checkpoint_list.html", saved=found, name=workspace[:64])


@area.page("POST", "/workspaces/{name}/checkpoints", needs=Open.SIGNED_IN)
async def save(visit: CurrentVisit, name: Name) -> Response:
    """Order that the workspace be saved; its size is told before anything is stored."""
    form = await form_of(visit)
    wish = Wish(name=form.one("name"), message=form.one("message"))
    try:
        async with visit.portal.database.session() as session:
            await checkpoints.ask(session, visit.actor.name, visit.me, name, wish)
    except PetriHubError as exc:
        typed = {"name": wish.name[:200], "message": wish.message[:1200]}
        return await _one(
            visit, name, status=exc.status, problem=exc.jupyterhub_message, typed=typed
        )
    return go(visit, _page_of(name))


def _page_of(name: str) -> str:
    return f"workspaces/{quote(name, safe='')}/checkpoints"


@area.page("POST", "/checkpoints/{checkpoint_id}/confirm", needs=Open.SIGNED_IN)
async def confirm(visit: CurrentVisit, checkpoint_id: Id) -> Response:
    """Save what was measured."""
    row = await _change(visit, checkpoint_id, checkpoints.confirm)
    return go(visit, _page_of(row.workspace))


@area.page("POST", "/checkpoints/{checkpoint_id}/cancel", needs=Open.SIGNED_IN)
async def cancel(visit: CurrentVisit, checkpoint_id: Id) -> Response:
    """Give an order up."""
    row = await _change(visit, checkpoint_id, checkpoints.give_up)
    return go(visit, _page_of(row.workspace))


@area.page("POST", "/checkpoints/{checkpoint_id}/delete", needs=Open.SIGNED_IN)
async def delete(visit: CurrentVisit, checkpoint_id: Id) -> Response:
    """Forget a checkpoint that nothing stands on."""
    row = await _change(visit, checkpoint_id, checkpoints.delete)
    return go(visit, "checkpoints", said=f"{row.name} is deleted.")


async def _change(visit: Visit, checkpoint_id: str, change: Change) -> Checkpoint:
    async with visit.portal.database.session() as session:
        return await change(session, visit.actor.name, visit.me, checkpoint_id)


@area.page("POST", "/checkpoints/{checkpoint_id}/start", needs=Open.SIGNED_IN)
async def start(visit: CurrentVisit, checkpoint_id: Id) -> Response:
    """A new workspace from a checkpoint, then its progress."""
    typed = (await form_of(visit)).one("workspace")
    try:
        name = await continue_from(visit.portal, visit.actor, visit.me, checkpoint_id, typed)
    except PetriHubError as exc:
        return await _all(visit, status=exc.status, problem=exc.jupyterhub_message)
    path = f"{quote(visit.me.username, safe='')}/{quote(name, safe='')}"
    return RedirectResponse(f"{visit.portal.hub_prefix}spawn-pending/{path}", status_code=303)


@area.page("GET", "/checkpoints/{checkpoint_id}/changes", needs=Open.SIGNED_IN)
async def changes(
    visit: CurrentVisit,
    checkpoint_id: Id,
    since: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """What differs from the image below it, or from another checkpoint."""
    async with visit.portal.database.reading() as session:
        row, shared = await seen(session, visit.me.id, checkpoint_id)
        found = await differences.of(session, row)
        other = None
        if since:
            other, _ = await seen(session, visit.me.id, since)
            require_comparable(other, row)
            found = differences.between(await differences.of(session, other), found)
        others = await comparable(session, visit.me, row)
    return await page(
        visit,
        "checkpoint_changes.html",
        row=row,
        shared=shared,
        other=other,
        others=others,
        found=found,
        kinds=differences.KINDS,
    )
