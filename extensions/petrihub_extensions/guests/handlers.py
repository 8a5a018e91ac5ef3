"""The HTTP API about guests: who am I here, who is inside, look again who may be."""

from __future__ import annotations

import json
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from petrihub_extensions.guests.door import Door
from petrihub_extensions.guests.rules import Mode


class _GuestsAPIHandler(APIHandler):
    auth_resource = "petrihub"
    _track_activity = False  # looking who is here is not work

    def initialize(self, door: Door) -> None:
        """Tornado's constructor."""
        self.door = door

    def answer(self, value: dict[str, Any]) -> None:
        """Sends JSON that nobody keeps."""
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(value))

    def guests(self) -> list[dict[str, Any]]:
        """Who is inside, as JSON; times are seconds since 1970."""
        return [
            {
                "name": visitor.name,
                "mode": visitor.mode.value,
                "since": visitor.since,
                "seen": visitor.seen,
                "connections": visitor.connections,
            }
            for visitor in self.door.visitors.inside()
        ]


class MeHandler(_GuestsAPIHandler):
    """GET petrihub/api/guests/me."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """How the visitor is here; the owner also learns who else is."""
        held = self.petrihub_pass  # type: ignore[attr-defined]  # the door gave it
        mine = held.mode is Mode.OWNER
        self.answer(
            {
                "mode": held.mode.value,
                "owner": self.door.shares.owner,
                "workspace": self.door.shares.workspace,
                "guests": self.guests() if mine else [],
            }
        )


class GuestsHandler(_GuestsAPIHandler):
    """GET petrihub/api/guests, for the owner."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Who is inside."""
        self.answer({"guests": self.guests()})


class LookHandler(_GuestsAPIHandler):
    """POST petrihub/api/guests/look, for the owner."""

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Asks the hub who may be here; `expelled` are those who had to go since the last look."""
        self.answer({"expelled": await self.door.look()})


def routes(door: Door) -> list[tuple[str, type, dict[str, Any]]]:
    """The API's routes below the server's base URL."""
    given = {"door": door}
    return [
        (r"petrihub/api/guests", GuestsHandler, given),
        (r"petrihub/api/guests/me", MeHandler, given),
        (r"petrihub/api/guests/look", LookHandler, given),
    ]
