"""The portal as one ASGI app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from jupyterhub._data import DATA_FILES_PATH

from petrihub_core.web import STATIC as FRAME_STATIC
from petrihub_portal import errors, openapi, routing
from petrihub_portal.areas import AREAS
from petrihub_portal.assets import STATIC, Assets
from petrihub_portal.audit_checks import heads_kept
from petrihub_portal.context import Portal
from petrihub_portal.edge import Edge
from petrihub_portal.endings import people_kept
from petrihub_portal.renewal import certificate_kept
from petrihub_portal.sharing import kept
from petrihub_portal.visit import gate


def make_app(portal: Portal) -> FastAPI:
    """The app that serves `portal`; it closes the portal's connections at its end."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        async with (
            kept(portal),
            heads_kept(portal),
            certificate_kept(portal),
            people_kept(portal),
        ):
            yield
        await portal.doors.close()
        await portal.hub.close()
        await portal.database.close()

    app = FastAPI(
        title="PetriHub",
        summary="Workspaces, people, groups, settings and audit of a PetriHub.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # a route of ours, with a rule like any other
        lifespan=life,
    )
    app.state.portal = portal
    app.state.rules = routing.install(app, gate, AREAS)
    errors.install(app)
    app.add_middleware(Edge, portal=portal)
    openapi.install(app)
    for path, folder in (
        ("frame", FRAME_STATIC),
        ("hub", Path(DATA_FILES_PATH) / "static"),
        ("portal", STATIC),
    ):
        app.mount(f"/static/{path}", Assets(directory=folder), name=path)
    routing.require_rules(app)
    return app
