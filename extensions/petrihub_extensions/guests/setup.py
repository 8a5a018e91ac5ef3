"""Puts the door in front of a workspace that belongs to a JupyterHub; elsewhere there is none."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from jupyter_server.serverapp import ServerApp

from petrihub_extensions.guests.door import Door, Identities
from petrihub_extensions.guests.rules import Mode
from petrihub_extensions.guests.shares import Identities as IdentityCache
from petrihub_extensions.guests.shares import Shares
from petrihub_extensions.guests.visitors import Visitors

_ROUND = 10.0  # seconds between two looks while somebody is inside

# what JupyterLab need not load for somebody who only looks: it would offer what is refused
_NOT_FOR_VIEWERS = (
    "@jupyterlab/terminal-extension",
    "@jupyterlab/console-extension",
    "@jupyterlab/running-extension",
    "@jupyterlab/debugger-extension",
    "@jupyterlab/extensionmanager-extension",
    "@jupyterlab/launcher-extension",
    "@jupyterlab/lsp-extension",
    "@jupyterlab/pluginmanager-extension",
    "@petrihub/lab:apps",
    "@petrihub/lab:checkpoints",
)

PageConfig = dict[str, Any]
Hook = Callable[[Any, PageConfig], PageConfig]


def put_door(server: ServerApp) -> Door | None:
    """The door of this workspace, in place; None without a hub. Raises what went wrong.

    Whoever calls it must end the server then: without its door it must not run.
    """
    provider: Any = server.identity_provider
    hub = getattr(provider, "hub_auth", None)
    if hub is None:
        return None
    owner = os.environ["JUPYTERHUB_USER"]
    hub.cache = IdentityCache(owner, hub.cache_max_age)
    shares = Shares(hub, owner, os.environ.get("JUPYTERHUB_SERVER_NAME", ""))
    door = Door(shares, Visitors(), Identities(provider, hub.cache))
    door.install(server.web_app)
    return door


def words_for_pages(server: ServerApp, door: Door) -> None:
    """Tells JupyterLab's page how the visitor is here; to be called when all extensions are in."""
    settings = server.web_app.settings
    before: Hook | None = settings.get("page_config_hook")

    def hook(handler: Any, config: PageConfig) -> PageConfig:
        if before is not None:
            config = before(handler, config)
        held = getattr(handler, "petrihub_pass", None)
        if held is None or held.mode is Mode.OWNER:
            return config
        # a copy: the server shows the same object to everybody
        config = {**config, "petrihubMode": held.mode.value}
        if held.mode is Mode.VIEW:
            disabled = [*config.get("disabledExtensions", []), *_NOT_FOR_VIEWERS]
            config |= {"disabledExtensions": disabled, "terminalsAvailable": False}
        return config

    settings["page_config_hook"] = hook


async def rounds(door: Door, log: Any) -> None:
    """Looks again and again while somebody is inside, so that nobody stays who may not."""
    while True:
        await asyncio.sleep(_ROUND)
        if not door.visitors.connected():
            continue
        try:
            await door.check()
        except Exception as exc:  # the next round tries again
            log.warning("petrihub: the guests could not be checked: %s", exc)
            if door.shares.lost:
                door.clear()
