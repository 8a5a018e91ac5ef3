"""The way from the browser to a running app: jupyter-server-proxy's handlers, one route for all."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from jupyter_server_proxy.handlers import NamedLocalProxyHandler
from jupyter_server_proxy.rawsocket import RawSocketHandler
from tornado import web

from petrihub_extensions.descriptors import DESKTOP
from petrihub_extensions.instance import Instance
from petrihub_extensions.workspace import Workspace

_WAIT = '<meta http-equiv="refresh" content="2">'


# JupyterHub's single-user server forbids all framing by default; our tabs frame these pages
FRAMED_BY_LAB = "frame-ancestors 'self'"


class AppProxyHandler(NamedLocalProxyHandler):  # type: ignore[misc]
    """`petrihub/app/<instance>/...`: HTTP and websockets of one instance."""

    def initialize(self, workspace: Workspace) -> None:
        """Tornado's constructor."""
        self.workspace = workspace

    async def prepare(self) -> None:
        """Checks who asks, finds the instance, and lets only a ready one through."""
        await super().prepare()
        if self._finished:
            return
        id_, rest = self.path_args  # type: ignore[has-type]
        self.path_args = [rest]
        instance = self.workspace.instance(id_)
        if instance is None or instance.state != "ready" or instance.endpoint is None:
            self._explain(instance)
            return
        self.name = id_
        self.proxy_base = f"petrihub/app/{id_}"
        self.absolute_url = instance.app.absolute_url
        self.port = instance.endpoint.port
        self.unix_socket = instance.endpoint.socket

    def _explain(self, instance: Instance | None) -> None:
        """A page in words instead of the app; it comes back by itself while the app starts."""
        self.set_status(503 if instance else 404)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", FRAMED_BY_LAB)
        self.finish(notice(instance))


class DesktopSocketHandler(RawSocketHandler):  # type: ignore[misc]
    """`petrihub/desktop-websockify/`: the screen of the desktop, for noVNC."""

    def initialize(self, workspace: Workspace) -> None:
        """Tornado's constructor."""
        self.workspace = workspace

    async def prepare(self) -> None:
        """Checks who asks, and lets them through to a desktop that is ready."""
        await super().prepare()
        if self._finished:
            return
        desktop = self.workspace.instance(DESKTOP)
        if desktop is None or desktop.state != "ready" or desktop.endpoint is None:
            raise web.HTTPError(503, "The desktop is not running.")
        self.name = DESKTOP
        self.unix_socket = desktop.endpoint.socket


def notice(instance: Instance | None) -> str:
    """The page that stands where an app would be, with its state in words."""
    title = instance.app.title if instance else "This app"
    if instance is not None and instance.state in ("starting", "ready"):
        heading, text = f"{title} is starting", "This page opens it as soon as it is ready."
    elif instance is not None and instance.state == "failed":
        heading, text = f"{title} is not running", instance.reason
    else:
        heading = f"{title} is not running"
        text = "Go back to JupyterLab and open it in the launcher, section Apps."
    template = files("petrihub_extensions").joinpath("pages/notice.html")
    return (
        template.read_text(encoding="utf-8")
        .replace("{{refresh}}", _WAIT if instance and instance.alive else "")
        .replace("{{heading}}", escape(heading))
        .replace("{{text}}", escape(text))
    )
