"""The page around the desktop's screen: our frame, the noVNC of jupyter-remote-desktop-proxy."""

from __future__ import annotations

from html import escape
from importlib.resources import files

import jupyter_remote_desktop_proxy
from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from petrihub_extensions.descriptors import DESKTOP
from petrihub_extensions.proxy import FRAMED_BY_LAB, notice
from petrihub_extensions.workspace import Workspace

# viewer.js is noVNC with the clipboard, bundled; it connects to ../desktop-websockify/
VIEWER = str(files(jupyter_remote_desktop_proxy).joinpath("static"))
OWN = str(files("petrihub_extensions").joinpath("pages"))


class DesktopPageHandler(JupyterHandler):
    """`petrihub/desktop/`: the screen of the running desktop."""

    def initialize(self, workspace: Workspace) -> None:
        """Tornado's constructor."""
        self.workspace = workspace

    @web.authenticated
    def get(self) -> None:
        """The page; words about the state while there is no desktop."""
        desktop = self.workspace.instance(DESKTOP)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", FRAMED_BY_LAB)
        if desktop is None or desktop.state != "ready":
            self.set_status(503)
            self.finish(notice(desktop))
            return
        page = files("petrihub_extensions").joinpath("pages/desktop.html")
        base = escape(f"{self.base_url}petrihub/desktop/", quote=True)
        self.finish(page.read_text(encoding="utf-8").replace("{{base}}", base))
