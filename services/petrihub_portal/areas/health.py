"""Whether the portal works, for proxies and people."""

from typing import Literal

from pydantic import BaseModel

from petrihub_portal.routing import Area, Open

area = Area("Health")


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


@area.api("GET", "/alive", needs=Open.EVERYBODY)
async def alive() -> Alive:
    """Answers as long as the process does."""
    return Alive()
