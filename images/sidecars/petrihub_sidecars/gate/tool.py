"""Whether the tool behind the gate answers, and whether it can be reached around the gate."""

import asyncio
import time
from enum import StrEnum

from petrihub_sidecars.gate import wire
from petrihub_sidecars.gate.loopback import exposed_at
from petrihub_sidecars.gate.settings import GateSettings

_LOOKED = 5.0  # seconds for which a look at the port counts
_ANSWER = 10.0  # seconds that the tool has to answer its health check


class Condition(StrEnum):
    """How the tool is. `ENDED`: it has answered before, and does not accept connections now."""

    STARTING = "starting"
    READY = "ready"
    ENDED = "ended"
    EXPOSED = "exposed"


class Tool:
    """The one tool of this gate."""

    def __init__(self, settings: GateSettings) -> None:
        self.port = settings.port
        self.title = settings.title
        path = settings.health
        prefix = settings.base_url.rstrip("/") if settings.absolute_urls else ""
        self._health = wire.request_head(
            "GET", prefix + path, [("Host", "localhost"), ("Connection", "close")]
        )
        self._answered = False
        self._exposed = ""
        self._looked = float("-inf")

    def problem(self) -> str:
        """Why nobody may be let through, in words; empty if they may. Looked at every few seconds.

        A tool that listens beyond loopback could be reached around the gate, by everything that
        shares a network with it.
        """
        now = time.monotonic()
        if now - self._looked > _LOOKED:
            self._looked = now
            self._exposed = exposed_at(self.port)
        if not self._exposed:
            return ""
        return (
            f"{self.title} listens on {self._exposed}, port {self.port}, and could be reached "
            "without signing in. It must listen on 127.0.0.1 only."
        )

    async def check(self) -> Condition:
        """Ask the tool's health path."""
        self._looked = float("-inf")
        try:
            async with asyncio.timeout(_ANSWER), wire.tool_at(self.port) as connection:
                await wire.send(connection, self._health)
                up = (await wire.read_head(connection)).status < 500
                await wire.drain(connection)
        except (wire.ToolSilent, wire.ToolGarbled, OSError, TimeoutError):
            up = False
        if self.problem():
            return Condition.EXPOSED
        if up:
            self.answers()
            return Condition.READY
        return self.silent()

    def answers(self) -> None:
        """Somebody got an answer from it: from now on its silence is an end."""
        self._answered = True

    def silent(self) -> Condition:
        """What it means that the tool does not answer at this moment."""
        return Condition.ENDED if self._answered else Condition.STARTING
