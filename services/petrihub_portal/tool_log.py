"""The last lines of a tool that has ended, for the gate to show to the workspace's owner.

It is a route of the hub's API, since the hub's process alone reaches the engine, and a gate reaches
the hub alone.
"""

import asyncio
import json

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import needs_scope
from tornado.web import HTTPError

from petrihub_portal.redaction import Redactor

_LINES = 20
_LONGEST = 4000  # characters


class ToolLogHandler(APIHandler):  # type: ignore[misc]  # JupyterHub has no types
    """GET api/petrihub/users/<user>/servers/<server>/log, with the owner's or workspace's token."""

    @needs_scope("access:servers")  # type: ignore[untyped-decorator]
    async def get(self, user_name: str, server_name: str) -> None:
        """The last lines as {"log": "..."}; 404 for everybody who may only come in."""
        user = self.find_user(user_name)
        spawner = user.spawners.get(server_name) if user else None
        if spawner is None or self.current_user is None or self.current_user.name != user_name:
            raise HTTPError(404, "There is no such workspace of yours.")
        text = await spawner.runner().log_tail(await spawner.ref())
        self.write(json.dumps({"log": await asyncio.to_thread(shown, text)}))


def shown(text: str) -> str:
    """The last lines, without what looks like a secret."""
    last = "\n".join(text.splitlines()[-_LINES:])
    return Redactor((), ()).text(last)[-_LONGEST:]


def log_handlers() -> list[tuple[str, type[ToolLogHandler]]]:
    """Rows for `JupyterHub.extra_handlers`."""
    return [(r"/api/petrihub/users/([^/]+)/servers/([^/]+)/log", ToolLogHandler)]
