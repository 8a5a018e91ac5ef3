"""What a guest may do: everything that is not named here is refused.

The names are those of the handlers that tornado is about to run, not addresses: however an address
is written, it is the handler that does the work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from tornado.web import RequestHandler

# the first bytes of the collaboration protocol
_SYNC, _AWARENESS = 0, 1
_ASKS_FOR_STATE = 0
_LARGEST_PRESENCE = 64 * 1024


class Mode(Enum):
    """How somebody is here."""

    OWNER = "owner"
    WORK = "work"
    VIEW = "view"


_LOOK = frozenset({"GET", "HEAD"})
_COMMON = {
    # pages, scripts and styles of JupyterLab
    "jupyter_server.base.handlers.FileFindHandler": _LOOK,
    "jupyter_server.base.handlers.PublicStaticFileHandler": _LOOK,
    "jupyter_server.base.handlers.MainHandler": _LOOK,
    "jupyter_server.base.handlers.TrailingSlashHandler": _LOOK,
    "jupyter_server.base.handlers.Template404": _LOOK,
    # from the workspace's address to JupyterLab's: where it leads is fixed
    "tornado.web.RedirectHandler": _LOOK,
    "jupyter_server.base.handlers.RedirectWithParams": _LOOK,
    "jupyterlab_server.themes_handler.ThemesHandler": _LOOK,
    # sign-in and sign-out of the guest
    "jupyterhub.singleuser.extension.JupyterHubOAuthCallbackHandler": _LOOK,
    "jupyterhub.singleuser.extension.JupyterHubLogoutHandler": _LOOK,
}
_VIEW: Mapping[str, frozenset[str]] = {
    **_COMMON,
    # who am I, what is this
    "jupyter_server.base.handlers.APIVersionHandler": _LOOK,
    "jupyter_server.services.api.handlers.APIStatusHandler": _LOOK,
    "jupyter_server.services.api.handlers.IdentityHandler": _LOOK,
    "petrihub_extensions.guests.handlers.MeHandler": _LOOK,
    "petrihub_extensions.mounts.MountsHandler": _LOOK,
    # what JupyterLab reads when it starts
    "jupyterlab_server.handlers.LabHandler": _LOOK,
    "jupyterlab_server.handlers.NotFoundHandler": _LOOK,
    "jupyter_server.services.config.handlers.ConfigHandler": _LOOK,
    "jupyterlab_server.settings_handler.SettingsHandler": _LOOK,
    "jupyterlab_server.translations_handler.TranslationsHandler": _LOOK,
    "jupyterlab_server.workspaces_handler.WorkspacesHandler": _LOOK,
    "jupyterlab_server.listings_handler.ListingsHandler": _LOOK,
    "jupyterlab_server.licenses_handler.LicensesHandler": _LOOK,
    # files and notebooks
    "jupyter_server.services.contents.handlers.ContentsHandler": _LOOK,
    "jupyter_server.services.contents.handlers.CheckpointsHandler": _LOOK,
    "jupyter_server.base.handlers.AuthenticatedFileHandler": _LOOK,
    # which kernels there could be; of those that run a viewer is told none, so that no page tries
    "jupyter_server.services.kernelspecs.handlers.MainKernelSpecHandler": _LOOK,
    "jupyter_server.services.kernelspecs.handlers.KernelSpecHandler": _LOOK,
    "jupyter_server.kernelspecs.handlers.KernelSpecResourceHandler": _LOOK,
    "jupyter_server.services.kernels.handlers.MainKernelHandler": _LOOK,
    "jupyter_server.services.sessions.handlers.SessionRootHandler": _LOOK,
    # the shared document: PUT only gives the name of its room, the room drops what viewers write
    "jupyter_server_ydoc.handlers.DocSessionHandler": frozenset({"PUT"}),
    "jupyter_server_ydoc.handlers.YDocWebSocketHandler": frozenset({"GET"}),
}
_OWNER_ONLY = frozenset(
    {
        "jupyter_server.services.shutdown.ShutdownHandler",
        "petrihub_extensions.guests.handlers.GuestsHandler",
        "petrihub_extensions.guests.handlers.LookHandler",
    }
)
ROOM = "jupyter_server_ydoc.handlers.YDocWebSocketHandler"
_CONTENTS = "jupyter_server.services.contents.handlers.ContentsHandler"
_RUNNING = frozenset(
    {
        "jupyter_server.services.kernels.handlers.MainKernelHandler",
        "jupyter_server.services.sessions.handlers.SessionRootHandler",
    }
)

# what somebody without a name may reach: it shows nothing of the workspace, or is the way to a name
ANONYMOUS = frozenset({*_COMMON, "jupyter_server.base.handlers.APIVersionHandler"})


def name_of(handler: type[RequestHandler]) -> str:
    """How the rules call a handler."""
    return f"{handler.__module__}.{handler.__qualname__}"


def refusal(mode: Mode, handler: type[RequestHandler], method: str) -> str:
    """Why this may not be done, in words; empty if it may."""
    name = name_of(handler)
    if mode is Mode.OWNER:
        return ""
    if name in _OWNER_ONLY:
        return "Only the owner of this workspace may do this."
    if mode is Mode.WORK or method in _VIEW.get(name, ()):
        return ""
    return "You may look at this workspace, but not change or run anything in it."


def may_say(mode: Mode | None, message: Any, *, room: bool) -> bool:
    """Whether a message that came in by a websocket is let through.

    A viewer asks for the state of a shared document and shows presence; edits, requests to save
    and whatever else is not exactly one of these two are dropped.
    """
    if mode in (Mode.OWNER, Mode.WORK):
        return True
    if mode is None or not room or not isinstance(message, bytes) or len(message) < 2:
        return False
    if message[0] == _SYNC:
        return message[1] == _ASKS_FOR_STATE
    return message[0] == _AWARENESS and len(message) <= _LARGEST_PRESENCE


def shown(handler: type[RequestHandler], answer: str | bytes) -> str | bytes:
    """What a viewer gets of an answer: files that cannot be written, no running kernels."""
    name = name_of(handler)
    if name in _RUNNING:
        return "[]"
    if name == _CONTENTS:
        return json.dumps(seen_as_read_only(json.loads(answer)))
    return answer


def seen_as_read_only(model: Any) -> Any:
    """A model of the contents API as a viewer gets it: nothing in it can be written."""
    if isinstance(model, dict) and "writable" in model:
        inner = model.get("content")
        if model.get("type") == "directory" and isinstance(inner, list):
            model = {**model, "content": [seen_as_read_only(each) for each in inner]}
        return {**model, "writable": False}
    return model
