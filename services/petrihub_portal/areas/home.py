"""The researcher's home."""

from fastapi.responses import Response

from petrihub_portal.pages import page
from petrihub_portal.routing import Area, Open
from petrihub_portal.visit import CurrentVisit

area = Area("Home")


@area.page("GET", "/", needs=Open.SIGNED_IN)
async def home(visit: CurrentVisit) -> Response:
    """My workspaces, shared with me, what happened."""
    return await page(visit, "home_page.html")
