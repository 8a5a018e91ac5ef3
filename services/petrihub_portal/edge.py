"""What every answer of the portal depends on before its route: its place, known names, and HSTS."""

import time
from contextlib import suppress

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from petrihub_core import settings
from petrihub_core.errors import Unavailable
from petrihub_core.host_names import HostNames
from petrihub_portal.certificate_store import CertificateSettings
from petrihub_portal.context import Portal

_HSTS = "max-age=2592000"  # 30 days: an administrator may have to go back to a certificate of ours
_REMEMBER = 60.0  # seconds


class Edge:
    """ASGI: refuses unknown names, and tells browsers to stay with HTTPS once it is trusted."""

    def __init__(self, app: ASGIApp, portal: Portal) -> None:
        self._app = app
        self._portal = portal
        self._names = HostNames(portal.deployment)
        self._trusted = (0.0, False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # the proxies before us leave the prefix in the path, so no server may put it there again
        scope["root_path"] = self._portal.prefix.rstrip("/")
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not self._names.knows(hosts[0].decode("latin-1")):
            refusal = PlainTextResponse("This address is not one of this PetriHub.\n", 400)
            await refusal(scope, receive, send)
            return
        strict = scope.get("scheme") == "https" and await self._is_trusted()

        async def sending(message: Message) -> None:
            if strict and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Strict-Transport-Security"] = _HSTS
            await send(message)

        await self._app(scope, receive, sending)

    async def _is_trusted(self) -> bool:
        until, trusted = self._trusted
        if time.monotonic() < until:
            return trusted
        if self._portal.deployment.front.kind != "none":
            # Nobody above us has words for errors. While the database is away what was known holds:
            # the route says what is the matter, or does without the database.
            with suppress(Unavailable):
                async with self._portal.database.reading() as session:
                    trusted = (await settings.read(session, CertificateSettings)).trusted
        self._trusted = (time.monotonic() + _REMEMBER, trusted)
        return trusted
