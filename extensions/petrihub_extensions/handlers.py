"""The HTTP API that the labextension calls; errors leave as {"message", "hint"}."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from petrihub_extensions.errors import AppError
from petrihub_extensions.files import find_files
from petrihub_extensions.places import mounted
from petrihub_extensions.workspace import Workspace

APP_ID = r"([a-z][a-z0-9-]*)"
_ICON_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
_LARGEST_ICON = 256 * 1024
_BUILT_IN = files("petrihub_extensions").joinpath("icons")


class JsonAPIHandler(APIHandler):
    """What all of ours have in common: who may, and how errors look."""

    auth_resource = "petrihub"
    _track_activity = False  # looking at tiles is not work; opening one is counted by the proxy

    def answer(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Sends JSON."""
        self.set_status(status)
        self.finish(json.dumps(value))

    def body(self, *allowed: str) -> dict[str, str | None]:
        """The JSON object that was posted; only these keys, each text or null."""
        try:
            values = json.loads(self.request.body or b"{}")
        except ValueError:
            raise AppError("The request is not JSON.") from None
        if not isinstance(values, dict) or not set(values) <= set(allowed):
            raise AppError("The request holds more than it may.", hint="Reload the page.")
        if not all(value is None or isinstance(value, str) for value in values.values()):
            raise AppError("The request holds something other than text.", hint="Reload the page.")
        return values

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Turns our errors into their JSON; leaves the others to Jupyter."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        if not isinstance(error, AppError):
            super().write_error(status_code, **kwargs)
            return
        self.set_status(error.status)
        self.finish(json.dumps({"message": error.message, "hint": error.hint}))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Our errors are answers, not accidents: one line, no traceback."""
        if isinstance(value, AppError):
            self.log.info("petrihub: %s %s: %s", self.request.method, self.request.path, value)
        else:
            super().log_exception(typ, value, tb)


class AppsAPIHandler(JsonAPIHandler):
    """What those about apps have in common."""

    def initialize(self, workspace: Workspace) -> None:
        """Tornado's constructor."""
        self.workspace = workspace


class AppsHandler(AppsAPIHandler):
    """GET petrihub/api/apps."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """All apps with their states."""
        self.answer({"apps": await self.workspace.listing()})


class AppHandler(AppsAPIHandler):
    """GET petrihub/api/apps/<id>."""

    @web.authenticated
    @authorized
    async def get(self, id_: str) -> None:
        """One app with its state."""
        self.answer(await self.workspace.describe(self.workspace.app(id_)))


class OpenHandler(AppsAPIHandler):
    """POST petrihub/api/apps/<id>/open."""

    @web.authenticated
    @authorized
    async def post(self, id_: str) -> None:
        """Starts the app, or finds it running; answers at once."""
        path = self.body("path").get("path")
        self.answer(await self.workspace.open(id_, path), HTTPStatus.ACCEPTED)


class StopHandler(AppsAPIHandler):
    """POST petrihub/api/apps/<id>/stop."""

    @web.authenticated
    @authorized
    async def post(self, id_: str) -> None:
        """Ends one instance, or all of the app."""
        instance = self.body("instance").get("instance")
        self.answer(await self.workspace.stop(id_, instance))


class LogHandler(AppsAPIHandler):
    """GET petrihub/api/apps/<id>/log."""

    @web.authenticated
    @authorized
    async def get(self, id_: str) -> None:
        """The newest output, as plain text."""
        text = self.workspace.log(
            self.workspace.app(id_), self.get_query_argument("instance", None)
        )
        self.finish(text, set_content_type="text/plain; charset=utf-8")


class FilesHandler(AppsAPIHandler):
    """GET petrihub/api/files?types=.h5ad,.bam."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Newest files of these types, for the chooser."""
        types = self.get_query_argument("types", "").split(",")
        self.answer(await asyncio.to_thread(find_files, self.workspace.root, types, mounted()))


class IconHandler(AppsAPIHandler):
    """GET petrihub/api/icons/<id>: a built-in icon, or the one that the image brings."""

    @web.authenticated
    @authorized
    async def get(self, id_: str) -> None:
        """The picture; without scripts, wherever it came from."""
        kind, picture = await asyncio.to_thread(read_icon, self.workspace.app(id_).icon)
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.set_header("Cache-Control", "private, max-age=3600")
        self.finish(picture, set_content_type=kind)


def read_icon(icon: str) -> tuple[str, bytes]:
    """Content type and bytes; the plain icon where the named one cannot be used. Reads the disk."""
    path = Path(icon)
    if path.is_absolute() and path.suffix in _ICON_TYPES:
        try:
            if path.stat().st_size <= _LARGEST_ICON:
                return _ICON_TYPES[path.suffix], path.read_bytes()
        except OSError:
            pass
        icon = path.stem
    built_in = {entry.name: entry for entry in _BUILT_IN.iterdir()}
    chosen = built_in.get(f"{icon}.svg", built_in["app.svg"])
    return _ICON_TYPES[".svg"], chosen.read_bytes()


def routes(workspace: Workspace) -> list[tuple[str, type, dict[str, Any]]]:
    """The API's routes below the server's base URL."""
    given = {"workspace": workspace}
    return [
        (r"petrihub/api/apps", AppsHandler, given),
        (rf"petrihub/api/apps/{APP_ID}", AppHandler, given),
        (rf"petrihub/api/apps/{APP_ID}/open", OpenHandler, given),
        (rf"petrihub/api/apps/{APP_ID}/stop", StopHandler, given),
        (rf"petrihub/api/apps/{APP_ID}/log", LogHandler, given),
        (rf"petrihub/api/icons/{APP_ID}", IconHandler, given),
        (r"petrihub/api/files", FilesHandler, given),
    ]
