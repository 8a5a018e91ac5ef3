"""Asks the portal about this workspace's checkpoints, with the workspace's own token of the hub.

The browser cannot: at its person's own origin it has no cookie of the portal. The token can do
nothing else there, and is refused from the workspace's stop on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from petrihub_extensions.errors import AppError

ADDRESS_VARIABLE = "PETRIHUB_CHECKPOINTS_URL"
_TOKEN_VARIABLE = "JUPYTERHUB_API_TOKEN"  # noqa: S105 - the name of a variable
_ANSWER = 30.0  # seconds; the portal's database may be busy
NOT_HERE = (
    "Environments can be saved where PetriHub runs workspaces as containers and has an image "
    "server, which it has not here."
)


class PortalRefusal(AppError):
    """The portal's own words about why it cannot be done."""

    def __init__(self, status: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class NoImageServer(AppError):
    """This workspace cannot be saved wherever it is asked."""

    status = 501


@dataclass(frozen=True)
class Portal:
    """Where the portal takes a workspace's questions about itself; `url` is empty without one."""

    url: str
    token: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Portal:
        """As PetriHub told this workspace."""
        return cls(environment.get(ADDRESS_VARIABLE, ""), environment.get(_TOKEN_VARIABLE, ""))

    @property
    def offered(self) -> bool:
        """Whether this workspace can be saved at all."""
        return bool(self.url and self.token)

    async def ask(self, method: str, path: str = "", body: Any = None) -> Any:
        """The answer as JSON, None if it is empty; raises `AppError` in words."""
        if not self.offered:
            raise NoImageServer(NOT_HERE, hint="Ask your administrator.")
        request = HTTPRequest(
            self.url + path,
            method=method,
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
            body=json.dumps(body or {}) if method == "POST" else None,
            request_timeout=_ANSWER,
            connect_timeout=_ANSWER,
        )
        try:
            answer = await AsyncHTTPClient().fetch(request, raise_error=False)
        except (OSError, HTTPClientError) as exc:  # nobody there, too late, hung up
            raise _silent() from exc
        if answer.code < 300:
            return json.loads(answer.body) if answer.body else None
        raise _refusal(answer.code, answer.body)


def _silent() -> PortalRefusal:
    return PortalRefusal(
        503, "PetriHub does not answer.", hint="Nothing was changed. It is asked again by itself."
    )


def _refusal(status: int, body: bytes) -> PortalRefusal:
    try:
        said = json.loads(body)
        words, hint = str(said["detail"]), str(said.get("hint") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return _silent()
    if status == 401:  # ours, not the browser's: JupyterLab would lead to a sign-in
        status = 409
    return PortalRefusal(status, words, hint=hint)
