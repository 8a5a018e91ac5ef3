"""What one portal process holds: made once at start, found by every request."""

from dataclasses import dataclass

from fastapi import Request

from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.settings.vault import Vault
from petrihub_core.web.live import Live
from petrihub_portal.doors import Doors, Place
from petrihub_portal.hub import Hub
from petrihub_portal.origins import origin_of
from petrihub_portal.render import Renderer
from petrihub_portal.sealing import Sealer


@dataclass(frozen=True, kw_only=True)
class Portal:
    """One process of the portal; replicas differ in nothing."""

    deployment: Deployment
    database: Database
    hub: Hub
    doors: Doors
    vault: Vault
    sealer: Sealer
    render: Renderer
    live: Live
    prefix: str
    hub_prefix: str
    cookie_key: str

    def address(self, place: Place) -> str:
        """Where a browser opens this workspace."""
        return origin_of(self.deployment, place.owner) + place.path


def portal_of(request: Request) -> Portal:
    """The portal that serves this request."""
    portal: Portal = request.app.state.portal
    return portal
