"""A bundle for support, without secrets."""

from fastapi.responses import Response

from petrihub_core import audit
from petrihub_core.records import now
from petrihub_core.roles import Permission
from petrihub_portal import diagnostics
from petrihub_portal.pages import page
from petrihub_portal.routing import Area
from petrihub_portal.visit import CurrentVisit

area = Area("Diagnostics")

_NEEDS = Permission.DIAGNOSTICS


@area.api(
    "GET",
    "/diagnostics",
    needs=_NEEDS,
    response_class=Response,
    responses={
        200: {
            "description": "A zip file; about.txt in it says what it holds.",
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def bundle(visit: CurrentVisit) -> Response:
    """What runs here and how it is, for support: without secrets, names and addresses."""
    made = await diagnostics.bundle(visit.portal)
    async with visit.portal.database.session() as session:
        await audit.record(
            session,
            actor=visit.actor.name,
            action="diagnostics.made",
            target="diagnostics",
            detail={"bytes": len(made)},
        )
    name = f"petrihub-diagnostics-{now():%Y%m%d-%H%M%S}.zip"
    return Response(
        made,
        media_type="application/zip",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


@area.page("GET", "/admin/diagnostics", needs=_NEEDS)
async def about(visit: CurrentVisit) -> Response:
    """What the bundle holds, and the button."""
    return await page(visit, "diagnostics.html")
