"""The first page of the admin panel."""

from fastapi.responses import Response

from petrihub_core.errors import NotAllowed
from petrihub_portal import overview
from petrihub_portal.pages import page, panel_of
from petrihub_portal.routing import Area, Open
from petrihub_portal.visit import CurrentVisit

area = Area("Overview")


@area.page("GET", "/admin", needs=Open.SIGNED_IN)
async def show(visit: CurrentVisit) -> Response:
    """What is still to be set up, and what is going on; for whoever holds any permission."""
    if not panel_of(visit):
        raise NotAllowed(
            "The admin panel is for people with a role.", hint="Ask a super admin for one."
        )
    steps = await overview.steps(visit)
    return await page(
        visit,
        "overview.html",
        steps=steps,
        done=sum(step.done for step in steps),
        counters=await overview.counters(visit),
    )
