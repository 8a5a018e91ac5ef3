"""The HTTP API of the panel: this workspace's checkpoints. The owner's, and who works with them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from petrihub_extensions.checkpoints.portal import Portal
from petrihub_extensions.handlers import JsonAPIHandler

_ID = r"([0-9a-f]{32})"


class _CheckpointsAPIHandler(JsonAPIHandler):
    def initialize(self, portal: Portal) -> None:
        """Tornado's constructor."""
        self.portal = portal


class CheckpointsHandler(_CheckpointsAPIHandler):
    """petrihub/api/checkpoints."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """What runs here, and what was saved from it."""
        self.answer(await self.portal.ask("GET"))

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Orders a save; it is measured, then waits for `confirm`."""
        wish = self.body("name", "message")
        asked = {
            "name": wish.get("name") or "",
            "message": wish.get("message") or "",
            "measure_first": True,
        }
        made = await self.portal.ask("POST", "/checkpoints", asked)
        self.answer(made, HTTPStatus.ACCEPTED)


class CheckpointHandler(_CheckpointsAPIHandler):
    """petrihub/api/checkpoints/<id>."""

    @web.authenticated
    @authorized
    async def get(self, id_: str) -> None:
        """One checkpoint or order, with what is in it."""
        self.answer(await self.portal.ask("GET", f"/checkpoints/{id_}"))

    @web.authenticated
    @authorized
    async def delete(self, id_: str) -> None:
        """Forgets a checkpoint that nothing stands on."""
        await self.portal.ask("DELETE", f"/checkpoints/{id_}")
        self.answer({})


class WordHandler(_CheckpointsAPIHandler):
    """petrihub/api/checkpoints/<id>/confirm and /cancel."""

    @web.authenticated
    @authorized
    async def post(self, id_: str, word: str) -> None:
        """The person's word about an order: save it, or give it up."""
        self.answer(await self.portal.ask("POST", f"/checkpoints/{id_}/{word}"))


def routes(portal: Portal) -> list[tuple[str, type, dict[str, Any]]]:
    """The API's routes below the server's base URL."""
    given = {"portal": portal}
    return [
        (r"petrihub/api/checkpoints", CheckpointsHandler, given),
        (rf"petrihub/api/checkpoints/{_ID}", CheckpointHandler, given),
        (rf"petrihub/api/checkpoints/{_ID}/(confirm|cancel)", WordHandler, given),
    ]
