"""How the folders of the storage are: what the helper that holds them wrote down for us."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.contents.filemanager import AsyncFileContentsManager
from jupyter_server.utils import ApiPath, to_os_path
from tornado import web

from petrihub_extensions.handlers import JsonAPIHandler

PLACE = "/mnt/.petrihub/mounts.json"
_LARGEST = 256 * 1024
_SHOWN = ("path", "title", "state", "reason", "since")
# what the kernel says of a mount whose other side is gone
_LOST = (errno.ENOTCONN, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN)
_ASKED = ("is_hidden", "get", "save", "new_untitled", "copy", "rename", "delete")


def read_mounts(place: Path) -> list[dict[str, str]] | None:
    """The mounts as texts; None where nobody holds any, or in the moment of writing."""
    try:
        with place.open("rb") as file:
            told = json.loads(file.read(_LARGEST))
        found = told["mounts"]
        if not isinstance(found, list):
            return None
        return [{name: str(each.get(name) or "") for name in _SHOWN} for each in found]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


class MountsHandler(JsonAPIHandler):
    """GET petrihub/api/mounts."""

    def initialize(self, place: Path) -> None:
        """Tornado's constructor."""
        self.place = place

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The mounts; null where there are none."""
        self.answer({"mounts": await asyncio.to_thread(read_mounts, self.place)})


def tell_lost(server: ServerApp) -> None:
    """Have files on a lost mount answered with 503 in words.

    By itself Jupyter says "Unhandled error", or 404, which sends JupyterLab to the home: if that is
    what was lost, it asks for it again at once, with a dialog each time.
    """
    contents = server.contents_manager
    if isinstance(contents, AsyncFileContentsManager):
        for name in _ASKED:
            setattr(contents, name, _telling(getattr(contents, name), contents.root_dir))


def _telling(act: Callable[..., Awaitable[Any]], root: str) -> Callable[..., Awaitable[Any]]:
    async def act_or_tell(*args: Any, **more: Any) -> Any:
        try:
            return await act(*args, **more)
        except (OSError, web.HTTPError) as exc:
            if not await asyncio.to_thread(_is_of_lost, exc, (*args, more.get("path")), root):
                raise
            raise web.HTTPError(
                503,
                "The storage of these files does not answer. Keep this page open, and try again "
                "when the bar below says Storage: ok.",
            ) from exc

    return act_or_tell


def _is_of_lost(exc: Exception, asked: tuple[Any, ...], root: str) -> bool:
    for each in (exc, exc.__cause__):
        if isinstance(each, OSError):
            return each.errno in _LOST
    if not (isinstance(exc, web.HTTPError) and exc.status_code == 404):
        return False
    return any(_is_lost(Path(to_os_path(ApiPath(at), root))) for at in asked if isinstance(at, str))


def _is_lost(path: Path) -> bool:
    try:
        path.lstat()
    except OSError as exc:
        return exc.errno in _LOST
    return False


def routes(place: Path) -> list[tuple[str, type, dict[str, Any]]]:
    """The API's routes below the server's base URL."""
    return [(r"petrihub/api/mounts", MountsHandler, {"place": place})]
