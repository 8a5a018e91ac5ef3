"""The Jupyter Server extension: reads the apps of this workspace and adds their routes."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import AuthenticatedFileHandler
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from jupyter_server_proxy.handlers import AddSlashHandler
from traitlets import Unicode

from petrihub_extensions import mounts
from petrihub_extensions.checkpoints import handlers as checkpoint_handlers
from petrihub_extensions.checkpoints.portal import Portal
from petrihub_extensions.descriptors import read_descriptors
from petrihub_extensions.desktop.page import OWN, VIEWER, DesktopPageHandler
from petrihub_extensions.guests import handlers as guest_handlers
from petrihub_extensions.guests.door import Door
from petrihub_extensions.guests.rooms import keep_rooms_in
from petrihub_extensions.guests.setup import put_door, rounds, words_for_pages
from petrihub_extensions.handlers import routes
from petrihub_extensions.launching import Launcher, private_folder
from petrihub_extensions.places import link_places
from petrihub_extensions.proxy import AppProxyHandler, DesktopSocketHandler
from petrihub_extensions.welcome import put_welcome
from petrihub_extensions.workspace import Workspace

INSTANCE = r"([a-z][a-z0-9-]*(?:\.[0-9a-f]+)?)"


class PetriHubExtension(ExtensionApp):
    """Apps of the workspace, from the environment variable PETRIHUB_APPS."""

    name = "petrihub_extensions"
    load_other_extensions = True
    mounts_file = Unicode(
        mounts.PLACE, help="Where the storage helper writes how its mounts are."
    ).tag(config=True)
    _rounds: asyncio.Task[None] | None = None

    def initialize_settings(self) -> None:
        """Reads the apps; a mistake in them is logged and greys a tile, never stops Jupyter."""
        server = self.serverapp
        if server is None:
            raise RuntimeError("the extension is initialised without a Jupyter server")
        self.door = self._door(server)
        root = Path(server.root_dir).resolve()
        apps, problems = read_descriptors(os.environ.get("PETRIHUB_APPS", ""))
        for problem in problems:
            self.log.error("petrihub: %s", problem)
        launcher = Launcher(
            root=root,
            folder=private_folder(root),
            base_url=server.base_url,
            environment=dict(os.environ),
        )
        self.workspace = Workspace(apps, launcher)
        keep_rooms_in(launcher.folder)
        without_trash(server)
        mounts.tell_lost(server)
        self.portal = Portal.of(os.environ)
        if self.portal.offered:
            tell_pages(server, "petrihubCheckpoints", "offered")

    def initialize_handlers(self) -> None:
        """Adds the API, the proxy and the desktop."""
        given = {"workspace": self.workspace}
        self.handlers.extend(routes(self.workspace))
        self.handlers.extend(checkpoint_handlers.routes(self.portal))
        self.handlers.extend(mounts.routes(Path(self.mounts_file)))
        if self.door is not None:
            self.handlers.extend(guest_handlers.routes(self.door))
        self.handlers.extend(
            [
                (rf"petrihub/app/{INSTANCE}(/.*)", AppProxyHandler, given),
                (rf"petrihub/app/{INSTANCE}", AddSlashHandler),
                (r"petrihub/desktop-websockify/(.*)", DesktopSocketHandler, given),
                (r"petrihub/desktop/static/(.*)", AuthenticatedFileHandler, {"path": VIEWER}),
                (r"petrihub/desktop/frame/(.*)", AuthenticatedFileHandler, {"path": OWN}),
                (r"petrihub/desktop/", DesktopPageHandler, given),
                (r"petrihub/desktop", AddSlashHandler),
            ]
        )

    def _door(self, server: ServerApp) -> Door | None:
        """The door for guests; a workspace that cannot keep it must not run."""
        try:
            return put_door(server)
        except Exception:
            self.log.exception("petrihub: the door for guests could not be put in place")
            sys.exit(1)

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        if self.door is not None:
            words_for_pages(serverapp, self.door)
            self._rounds = asyncio.create_task(rounds(self.door, self.log))
        await asyncio.to_thread(put_welcome, self.workspace.root, self.log)
        await asyncio.to_thread(link_places, self.workspace.root, self.log)

    async def stop_extension(self) -> None:
        """Ends all apps with the server."""
        if self._rounds is not None:
            self._rounds.cancel()
        await self.workspace.close()


def without_trash(server: ServerApp) -> None:
    """Deleting deletes, unless configured otherwise: a trash in the home fills the quota unseen."""
    contents: Any = server.contents_manager
    if "delete_to_trash" in server.config.FileContentsManager:
        return
    if hasattr(contents, "delete_to_trash"):
        contents.delete_to_trash = False
        # JupyterLab was set up before us and calls it "Move to Trash" otherwise
        tell_pages(server, "delete_to_trash", False)


def tell_pages(server: ServerApp, name: str, value: Any) -> None:
    """Have JupyterLab's pages know this."""
    server.web_app.settings.setdefault("page_config_data", {})[name] = value
