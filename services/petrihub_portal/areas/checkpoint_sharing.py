"""Letting others start from a checkpoint: the owner's page, and the way in by a link."""

from typing import Annotated

from fastapi import Path
from fastapi.responses import Response

from petrihub_core import checkpoints, settings
from petrihub_core.checkpoint_sharing import Mode
from petrihub_core.errors import PetriHubError
from petrihub_core.settings.pages import LimitsSettings
from petrihub_portal import checkpoint_shares
from petrihub_portal.checkpoint_share_news import MODE_WORDS
from petrihub_portal.giving import my_groups, open_shares
from petrihub_portal.pages import go, page
from petrihub_portal.routing import Area, Open
from petrihub_portal.share_forms import link, typed_in, wish_of
from petrihub_portal.visit import CurrentVisit, Visit, form_of
from petrihub_portal.warned import secrets_in

area = Area("Checkpoints")

Id = Annotated[str, Path(max_length=64)]
_HOURS = {24: "1 day", 7 * 24: "7 days", 30 * 24: "30 days", 180 * 24: "180 days"}


@area.page("GET", "/checkpoints/join", needs=Open.EVERYBODY)
async def join_page(visit: CurrentVisit) -> Response:
    """Where a link leads; its code stays in the browser until the person takes it."""
    return await page(visit, "checkpoint_join.html", problem="")


@area.page("POST", "/checkpoints/join", needs=Open.SIGNED_IN)
async def join(visit: CurrentVisit) -> Response:
    """Take a link."""
    code = (await form_of(visit)).one("code")
    try:
        async with visit.portal.database.session() as session:
            row = await checkpoint_shares.join(session, visit.me, code)
    except PetriHubError as exc:
        problem = exc.jupyterhub_message
        return await page(visit, "checkpoint_join.html", status=exc.status, problem=problem)
    said = "You may start from this checkpoint now."
    return go(visit, f"checkpoints#checkpoint-{row.checkpoint_id}", said=said)


@area.page("GET", "/checkpoints/{checkpoint_id}/sharing", needs=Open.SIGNED_IN)
async def sharing_page(visit: CurrentVisit, checkpoint_id: Id) -> Response:
    """Who may start from it, who did, and the way to change it."""
    return await _page(visit, checkpoint_id)


async def _page(visit: Visit, checkpoint_id: str, *, status: int = 200, **more: object) -> Response:
    async with visit.portal.database.reading() as session:
        row = await checkpoints.mine(session, visit.me.id, checkpoint_id)
        values = {
            "row": row,
            "limits": await settings.read(session, LimitsSettings),
            "shares": await open_shares(session, checkpoint_shares.shared(visit.me, row)),
            "starts": await checkpoint_shares.starts_by_others(session, row),
            "secrets": secrets_in(row.findings),
            "groups": await my_groups(session, visit.me.id),
        }
    shown = {"hours": _HOURS, "words": MODE_WORDS, "link": "", "problem": "", "typed": {}}
    return await page(
        visit, "checkpoint_sharing.html", status=status, **{**values, **shown, **more}
    )


@area.page("POST", "/checkpoints/{checkpoint_id}/sharing", needs=Open.SIGNED_IN)
async def add(visit: CurrentVisit, checkpoint_id: Id) -> Response:
    """Share it; a link is shown this once."""
    form = await form_of(visit)
    try:
        wish = wish_of(form, Mode)
        async with visit.portal.database.session() as session:
            made = await checkpoint_shares.share(session, visit.me, checkpoint_id, wish)
    except PetriHubError as exc:
        problem = exc.jupyterhub_message
        return await _page(
            visit, checkpoint_id, status=exc.status, problem=problem, typed=typed_in(form)
        )
    if made.code:
        # not by a redirect with a cookie: the code leaves no trace but this answer
        return await _page(visit, checkpoint_id, link=link(visit, "checkpoints/join", made.code))
    how = " and build on it" if wish.mode is Mode.DERIVE else ", read-only"
    said = f"{wish.who} may now start from it{how}."
    return go(visit, f"checkpoints/{checkpoint_id}/sharing", said=said)


@area.page("POST", "/checkpoints/{checkpoint_id}/sharing/end", needs=Open.SIGNED_IN)
async def end(visit: CurrentVisit, checkpoint_id: Id) -> Response:
    """End one share, or all of them, at once."""
    share_id = (await form_of(visit)).one("share")
    async with visit.portal.database.session() as session:
        if share_id:
            await checkpoint_shares.end_one(session, visit.me, checkpoint_id, share_id)
        else:
            await checkpoint_shares.end_all(session, visit.me, checkpoint_id)
    said = "The share is ended." if share_id else "Nobody else may start from it any more."
    return go(visit, f"checkpoints/{checkpoint_id}/sharing", said=said)
