"""The hub's API for a workspace's title: JupyterHub renames only what is stopped; a title may
change at any time, since nothing is found by it.
"""

import json
from http import HTTPStatus
from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import needs_scope
from jupyterhub.slugs import is_valid_display_name, normalise_unicode
from tornado.web import HTTPError

LONGEST_TITLE = 64  # characters


def clean_title(raw: str) -> str:
    """The title with its white space made single; empty if it cannot be one."""
    title = " ".join(normalise_unicode(raw).split())
    return title if len(title) <= LONGEST_TITLE and is_valid_display_name(title) else ""


class TitleHandler(APIHandler):  # type: ignore[misc]  # JupyterHub has no types
    """PUT api/petrihub/users/<user>/servers/<server>/title, with {"title": "..."}."""

    @needs_scope("admin:servers")  # type: ignore[untyped-decorator]
    async def put(self, user_name: str, server_name: str) -> None:
        """Set the title; 404 if there is no such workspace, 400 if it cannot be a title."""
        user = self.find_user(user_name)
        row = user.orm_spawners.get(server_name) if user else None
        if row is None:
            raise HTTPError(404, "There is no such workspace.")
        body = self.get_json_body()
        title = clean_title(str(body.get("title", ""))) if isinstance(body, dict) else ""
        if not title:
            raise HTTPError(
                400, f"A title has 1 to {LONGEST_TITLE} letters, digits or signs in one line."
            )
        row.display_name = title
        self.db.commit()
        self.set_status(HTTPStatus.OK)
        self.write(json.dumps({"title": title}))


def hub_handlers() -> list[tuple[str, type[Any]]]:
    """Rows for `JupyterHub.extra_handlers`."""
    return [(r"/api/petrihub/users/([^/]+)/servers/([^/]+)/title", TitleHandler)]
