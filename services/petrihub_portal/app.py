"""The portal as one ASGI app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from jupyterhub._data import DATA_FILES_PATH
from starlette.staticfiles import StaticFiles

from petrihub_core.web import STATIC as FRAME_STATIC
from petrihub_portal import errors, routing
from petrihub_portal.areas import AREAS
from petrihub_portal.context import Portal
from petrihub_portal.render import STATIC
from petrihub_portal.visit import gate


def make_app(portal: Portal) -> FastAPI:
    """The app that serves `portal`; it closes the portal's connections at its end."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        await portal.hub.close()
        await portal.database.close()

    app = FastAPI(
        title="PetriHub",
        summary="Workspaces, people, groups, settings and audit of a PetriHub.",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{routing.API}/openapi.json",
        root_path=portal.prefix.rstrip("/"),
        lifespan=life,
    )
    app.state.portal = portal
    app.state.rules = routing.install(app, gate, AREAS)
    errors.install(app)
    for path, folder in (
        ("frame", FRAME_STATIC),
        ("hub", Path(DATA_FILES_PATH) / "static"),
        ("portal", STATIC),
    ):
        app.mount(f"/static/{path}", StaticFiles(directory=folder), name=path)
    return app
