"""The portal's way to end everything that the hub holds of a deactivated person."""

import json

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import needs_scope
from tornado import web

from petrihub_authenticators import sessions


class EndPerson(APIHandler):  # type: ignore[misc] # JupyterHub has no types
    """Takes the token of a service that may administer people; nobody's cookie, nobody's token.

    Idempotent: what has ended stays ended.
    """

    @needs_scope("admin:users")  # type: ignore[untyped-decorator]
    async def post(self, user_name: str) -> None:
        """Revoke cookies and tokens, then stop the workspaces; answers how many those were."""
        if self.current_user.kind != "service":
            raise web.HTTPError(403, "Only the portal does this.")
        sessions.end_sessions(self, user_name, keep_workspaces=False)
        stopping = await sessions.stop_workspaces(self, user_name)
        self.write(json.dumps({"workspaces": stopping}))
