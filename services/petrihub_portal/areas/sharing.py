"""Letting somebody else into a running workspace: the owner's page, and the way in by a link."""

from typing import Annotated

from fastapi import Path
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import settings
from petrihub_core.errors import PetriHubError
from petrihub_core.records import WorkspaceShare
from petrihub_core.settings.pages import LimitsSettings
from petrihub_portal import sharing
from petrihub_portal.doors import Inside, Mode, Place
from petrihub_portal.giving import my_groups, open_shares
from petrihub_portal.my_workspaces import Workspace, look
from petrihub_portal.pages import fragment, go, page
from petrihub_portal.routing import Area, Open
from petrihub_portal.share_forms import link, typed_in, wish_of
from petrihub_portal.share_news import MODE_WORDS
from petrihub_portal.shares import shared
from petrihub_portal.visit import CurrentVisit, Visit, form_of

area = Area("Sharing")

Name = Annotated[str, Path(max_length=64)]
_HOURS = {1: "1 hour", 8: "8 hours", 24: "1 day", 7 * 24: "7 days", 30 * 24: "30 days"}


async def _mine(visit: Visit, name: str) -> tuple[Workspace, Place]:
    """My workspace of this name; raises `NotFound`."""
    workspace = (await look(visit.portal, visit.me)).named(name)
    return workspace, Place(visit.me.username, workspace.name)


@area.page("GET", "/workspaces/{name}/sharing", needs=Open.SIGNED_IN)
async def sharing_page(visit: CurrentVisit, name: Name) -> Response:
    """Who may come in, who is inside, and the way to change both."""
    return await _page(visit, name)


async def _page(visit: Visit, name: str, *, status: int = 200, **more: object) -> Response:
    workspace, place = await _mine(visit, name)
    async with visit.portal.database.reading() as session:
        values = await _values(session, visit, workspace)
    inside = await visit.portal.doors.inside(place) if workspace.state == "running" else []
    return await page(
        visit,
        "sharing.html",
        status=status,
        **{
            **values,
            "workspace": workspace,
            "inside": inside,
            "words": MODE_WORDS,
            "link": "",
            "problem": "",
            "typed": {},
            **more,
        },
    )


async def _values(session: AsyncSession, visit: Visit, workspace: Workspace) -> dict[str, object]:
    limits = await settings.read(session, LimitsSettings)
    return {
        "limits": limits,
        "shares": await open_shares(session, shared(visit.me, workspace.name)),
        "groups": await my_groups(session, visit.me.id),
        "hours": _HOURS,
    }


@area.page("GET", "/workspaces/{name}/sharing/inside", needs=Open.SIGNED_IN)
async def inside_now(visit: CurrentVisit, name: Name) -> Response:
    """Who is inside, for htmx to put in place again and again."""
    inside: list[Inside] = await visit.portal.doors.inside(Place(visit.me.username, name))
    return fragment(
        visit, "parts/inside.html", inside=inside, words=MODE_WORDS, workspace_name=name
    )


@area.page("POST", "/workspaces/{name}/sharing", needs=Open.SIGNED_IN)
async def add(visit: CurrentVisit, name: Name) -> Response:
    """Let somebody in; a link is shown this once."""
    form = await form_of(visit)
    try:
        wish = wish_of(form, Mode)
        workspace, place = await _mine(visit, name)
        made = await sharing.let_in(visit.portal, visit.me, place, wish)
    except PetriHubError as exc:
        problem = exc.jupyterhub_message
        return await _page(visit, name, status=exc.status, problem=problem, typed=typed_in(form))
    if made.code:
        # not by a redirect with a cookie: the code leaves no trace but this answer
        return await _page(visit, name, link=link(visit, "join", made.code))
    return go(
        visit,
        f"workspaces/{workspace.name}/sharing",
        said=f"{wish.who} may now come in: {MODE_WORDS[Mode(wish.mode)]}.",
    )


@area.page("POST", "/workspaces/{name}/sharing/end", needs=Open.SIGNED_IN)
async def end(visit: CurrentVisit, name: Name) -> Response:
    """End one share, or all of them, at once."""
    form = await form_of(visit)
    place = Place(visit.me.username, name)
    if form.one("share"):
        await sharing.end_one(visit.portal, visit.me, place, form.one("share"))
        said = "The share is ended. Whoever was inside by it is out."
    else:
        await sharing.end_all_in(visit.portal, visit.me.id, name, visit.actor.name)
        said = "Nobody else may come in any more. Whoever was inside is out."
    return go(visit, f"workspaces/{name}/sharing", said=said)


@area.page("GET", "/join", needs=Open.EVERYBODY)
async def join_page(visit: CurrentVisit) -> Response:
    """Where a link leads; its code stays in the browser until the person joins."""
    return await page(visit, "join.html", problem="")


@area.page("POST", "/join", needs=Open.SIGNED_IN)
async def join(visit: CurrentVisit) -> Response:
    """Come in by a link."""
    code = (await form_of(visit)).one("code")
    try:
        place, row = await sharing.come_in(visit.portal, visit.me, code)
    except PetriHubError as exc:
        return await page(visit, "join.html", status=exc.status, problem=exc.jupyterhub_message)
    return await _joined(visit, place, row)


async def _joined(visit: Visit, place: Place, row: WorkspaceShare) -> Response:
    mine = await sharing.shared_with(visit)
    url = visit.portal.address(place)
    here = next((each for each in mine if each.url == url), None)
    return await page(visit, "joined.html", place=place, share=row, here=here, words=MODE_WORDS)
