"""The portal's cookies: HttpOnly, for one path, and under a name that no page elsewhere can set.

Pages at people's own origins could set cookies for the whole domain: browsers refuse that for names
that begin with `__Host-`, which in turn demand HTTPS and the path "/". Without such origins that
path would send our cookies to all workspaces, so there they stay below the portal.
"""

from typing import Literal

from fastapi import Request
from starlette.responses import Response

from petrihub_portal.context import Portal


class Cookies:
    """Those of one request."""

    def __init__(self, portal: Portal, request: Request) -> None:
        origins = portal.deployment.front.origins
        self._sent = request.cookies
        self._prefix = "__Host-" if origins else ""
        self._path = "/" if origins else portal.prefix
        self._secure = origins or request.url.scheme == "https"

    def get(self, name: str) -> str | None:
        """The value that the browser sent; None if it has none."""
        return self._sent.get(self._prefix + name)

    def names(self, begins: str) -> list[str]:
        """The names that begin so, in the order in which the browser sent them."""
        whole = self._prefix + begins
        return [name.removeprefix(self._prefix) for name in self._sent if name.startswith(whole)]

    def set(
        self,
        answer: Response,
        name: str,
        value: str,
        *,
        seconds: int,
        samesite: Literal["lax", "strict"] = "lax",
    ) -> None:
        """Have the browser keep `value` for so long."""
        answer.set_cookie(
            self._prefix + name,
            value,
            max_age=seconds,
            path=self._path,
            httponly=True,
            samesite=samesite,
            secure=self._secure,
        )

    def delete(self, answer: Response, name: str) -> None:
        """Have the browser forget it."""
        answer.delete_cookie(
            self._prefix + name, path=self._path, secure=self._secure, httponly=True
        )
