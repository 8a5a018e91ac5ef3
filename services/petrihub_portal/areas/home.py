"""The researcher's home: my workspaces, what is shared with me, and what to do next."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import Path
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from petrihub_core.errors import PetriHubError, Unavailable
from petrihub_core.records import Person
from petrihub_core.roles import Actor
from petrihub_portal import acting
from petrihub_portal.context import Portal
from petrihub_portal.my_workspaces import GLANCE, Look, State, Workspace, look, new_name
from petrihub_portal.pages import fragment, go, page
from petrihub_portal.routing import Area, Open
from petrihub_portal.sharing import SharedWithMe, shared_with
from petrihub_portal.storage import stored
from petrihub_portal.visit import CurrentVisit, Visit, form_of

area = Area("Home")

Name = Annotated[str, Path(max_length=64)]
Act = Callable[[Portal, Actor, Person, Workspace], Awaitable[None]]


async def _home(visit: Visit, *, status: int = 200, problem: str = "", typed: str = "") -> Response:
    seen, shared = await asyncio.gather(look(visit.portal, visit.me, GLANCE), _shared(visit))
    async with visit.portal.database.reading() as session:
        storage = await stored(session, visit.portal.deployment, visit.me)
    return await page(
        visit,
        "home_page.html",
        status=status,
        seen=seen,
        shared=shared,
        storage=storage,
        problem=problem,
        typed=typed,
    )


async def _shared(visit: Visit) -> list[SharedWithMe] | None:
    """What others share with me; None while the hub does not answer."""
    try:
        return await asyncio.wait_for(shared_with(visit), GLANCE)
    except (Unavailable, TimeoutError):
        return None


@area.page("GET", "/", needs=Open.SIGNED_IN)
async def home(visit: CurrentVisit) -> Response:
    """My workspaces, shared with me."""
    return await _home(visit)


@area.page("GET", "/home/workspaces", needs=Open.SIGNED_IN)
async def rows(visit: CurrentVisit) -> Response:
    """The list alone, for htmx to put in place."""
    return await _rows(visit)


async def _rows(visit: Visit) -> Response:
    seen = await look(visit.portal, visit.me)
    return fragment(visit, "parts/my_workspaces_again.html", seen=seen)


@area.page("POST", "/home/workspaces", needs=Open.SIGNED_IN)
async def make(visit: CurrentVisit) -> Response:
    """From a name to the page where a profile is chosen."""
    typed = (await form_of(visit)).one("name")
    try:
        title, name = new_name(await look(visit.portal, visit.me), typed)
    except PetriHubError as exc:
        return await _home(
            visit, status=exc.status, problem=exc.jupyterhub_message, typed=typed[:200]
        )
    query = "" if title == name else "?" + urlencode({"display_name": title})
    where = f"{visit.portal.hub_prefix}spawn/{quote(visit.me.username, safe='')}/{name}{query}"
    return RedirectResponse(where, status_code=303)


async def _mine(visit: Visit, name: str) -> Workspace:
    return (await look(visit.portal, visit.me)).named(name)


async def _act(visit: Visit, name: str, act: Act) -> Workspace:
    workspace = await _mine(visit, name)
    await act(visit.portal, visit.actor, visit.me, workspace)
    return workspace


@area.page("POST", "/workspaces/{name}/start", needs=Open.SIGNED_IN)
async def start(visit: CurrentVisit, name: Name) -> Response:
    """Start with the last choices, then show the progress."""
    workspace = await _act(visit, name, acting.start)
    return RedirectResponse(workspace.progress_url, status_code=303)


@area.page("POST", "/workspaces/{name}/stop", needs=Open.SIGNED_IN)
async def stop(visit: CurrentVisit, name: Name) -> Response:
    """Stop, or give a start up."""
    await _act(visit, name, acting.stop)
    return await _rows(visit) if visit.htmx else go(visit, "")


@area.page("POST", "/workspaces/{name}/restart", needs=Open.SIGNED_IN)
async def restart(visit: CurrentVisit, name: Name) -> Response:
    """Stop, then start with the same choices."""
    await _act(visit, name, acting.restart)
    return await _rows(visit) if visit.htmx else go(visit, "")


@area.page("GET", "/workspaces/{name}/delete", needs=Open.SIGNED_IN)
async def ask_to_delete(visit: CurrentVisit, name: Name) -> Response:
    """The question, as a page or as the content of a dialog."""
    return await _question(visit, name, "parts/delete_workspace.html")


@area.page("POST", "/workspaces/{name}/delete", needs=Open.SIGNED_IN)
async def delete(visit: CurrentVisit, name: Name) -> Response:
    """Forget the workspace; the files in the home stay."""
    workspace = await _act(visit, name, acting.delete)
    return go(visit, "", said=f"{workspace.title} is deleted. Your files are kept.")


@area.page("GET", "/workspaces/{name}/title", needs=Open.SIGNED_IN)
async def ask_for_title(visit: CurrentVisit, name: Name) -> Response:
    """The form, as a page or as the content of a dialog."""
    return await _question(visit, name, "parts/rename_workspace.html")


@area.page("POST", "/workspaces/{name}/title", needs=Open.SIGNED_IN)
async def rename(visit: CurrentVisit, name: Name) -> Response:
    """Give the workspace another title."""
    typed = (await form_of(visit)).one("title")
    workspace = await _mine(visit, name)
    title = await acting.rename(visit.portal, visit.actor, visit.me, workspace, typed)
    return go(visit, "", said=f"{workspace.title} is now called {title}.")


async def _question(visit: Visit, name: str, part: str) -> Response:
    workspace = await _mine(visit, name)
    if visit.htmx:
        return fragment(visit, part, workspace=workspace)
    return await page(visit, "question.html", workspace=workspace, part=part)


# --- API ----------------------------------------------------------------------------------


class AppModel(BaseModel):
    """An app of a running workspace; `url` opens it."""

    id: str
    title: str
    url: str


class WorkspaceModel(BaseModel):
    """One of my workspaces; `reason` says why it failed."""

    name: str
    title: str
    state: State
    reason: str
    profile: str
    size: str
    started: datetime | None
    last_activity: datetime | None
    url: str
    apps: list[AppModel]


class WorkspacesModel(BaseModel):
    """My workspaces by title; `fresh` is false while the hub does not answer."""

    workspaces: list[WorkspaceModel]
    limit: int
    fresh: bool


class NewTitle(BaseModel):
    """What a workspace shall be called."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=200)


def _model(each: Workspace) -> WorkspaceModel:
    return WorkspaceModel(
        name=each.name,
        title=each.title,
        state=each.state,
        reason=each.reason,
        profile=str(each.options.get("profile", "")),
        size=str(each.options.get("size", "")),
        started=each.started,
        last_activity=each.last_activity,
        url=each.url,
        apps=[AppModel(id=app.id, title=app.title, url=app.url) for app in each.apps],
    )


@area.api("GET", "/my/workspaces", needs=Open.SIGNED_IN)
async def my_workspaces(visit: CurrentVisit) -> WorkspacesModel:
    """My workspaces, by title; there are never more than the limit, so they come at once."""
    seen: Look = await look(visit.portal, visit.me)
    found = [_model(each) for each in seen.workspaces]
    return WorkspacesModel(workspaces=found, limit=seen.limit, fresh=seen.fresh)


@area.api("GET", "/my/workspaces/{name}", needs=Open.SIGNED_IN)
async def my_workspace(visit: CurrentVisit, name: Name) -> WorkspaceModel:
    """One of my workspaces."""
    return _model(await _mine(visit, name))


@area.api("POST", "/my/workspaces/{name}/start", needs=Open.SIGNED_IN, status_code=202)
async def api_start(visit: CurrentVisit, name: Name) -> WorkspaceModel:
    """Start with the last choices; answers before it is ready."""
    await _act(visit, name, acting.start)
    return _model(await _mine(visit, name))


@area.api("POST", "/my/workspaces/{name}/stop", needs=Open.SIGNED_IN, status_code=202)
async def api_stop(visit: CurrentVisit, name: Name) -> WorkspaceModel:
    """Stop; answers before it has stopped."""
    await _act(visit, name, acting.stop)
    return _model(await _mine(visit, name))


@area.api("POST", "/my/workspaces/{name}/restart", needs=Open.SIGNED_IN, status_code=202)
async def api_restart(visit: CurrentVisit, name: Name) -> WorkspaceModel:
    """Stop, then start with the same choices; goes on whatever the caller does."""
    await _act(visit, name, acting.restart)
    return _model(await _mine(visit, name))


@area.api("PATCH", "/my/workspaces/{name}", needs=Open.SIGNED_IN)
async def api_rename(visit: CurrentVisit, name: Name, body: NewTitle) -> WorkspaceModel:
    """Change the title; the name in addresses stays."""
    workspace = await _mine(visit, name)
    await acting.rename(visit.portal, visit.actor, visit.me, workspace, body.title)
    return _model(await _mine(visit, name))


@area.api("DELETE", "/my/workspaces/{name}", needs=Open.SIGNED_IN, status_code=204)
async def api_delete(visit: CurrentVisit, name: Name) -> None:
    """Forget the workspace; files in the home stay."""
    await _act(visit, name, acting.delete)
