"""What one process of the image service holds, found by every request."""

import asyncio
from dataclasses import dataclass, field

from fastapi import Request

from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_images.bases import Bases
from petrihub_images.registry import Registry
from petrihub_images.sweep import Sweeper


class Bell:
    """Wakes the helpers that wait for an order, by instance."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Event] = {}

    def ring(self, instance: str) -> None:
        """There is something for this one."""
        event = self._waiting.get(instance)
        if event is not None:
            event.set()

    def ring_all(self) -> None:
        """There may be something for everybody."""
        for event in self._waiting.values():
            event.set()

    async def wait(self, instance: str, seconds: float) -> None:
        """Return when it rings, at the latest after so many seconds."""
        event = self._waiting.setdefault(instance, asyncio.Event())
        event.clear()
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return
        finally:
            self._waiting.pop(instance, None)


@dataclass(frozen=True, kw_only=True)
class ImageService:
    """One process of the image service."""

    deployment: Deployment
    database: Database
    registry: Registry
    bases: Bases
    sweeper: Sweeper
    bell: Bell = field(default_factory=Bell)


def service_of(request: Request) -> ImageService:
    """The service that answers this request."""
    service: ImageService = request.app.state.service
    return service
