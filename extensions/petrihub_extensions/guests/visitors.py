"""Who is inside beside the owner: open websockets and requests, and the way to end them."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field

from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

from petrihub_extensions.guests.rules import Mode

_LINGER = 60.0  # seconds after the last request that somebody without a websocket counts as inside
EXPELLED = 4403  # the code with which a websocket of somebody who may not stay is closed


@dataclass
class Visitor:
    """One guest; times are seconds since 1970."""

    name: str
    mode: Mode
    since: float
    seen: float
    running: set[RequestHandler] = field(default_factory=set)

    @property
    def connections(self) -> int:
        """How many websockets are open."""
        return sum(isinstance(each, WebSocketHandler) for each in self.running)

    @property
    def inside(self) -> bool:
        """Whether they are here now."""
        return bool(self.running) or time.time() - self.seen < _LINGER


class Visitors:
    """The guests by name; there are no more of them than the hub has shares."""

    def __init__(self) -> None:
        self._known: dict[str, Visitor] = {}

    def seen(self, name: str, mode: Mode, handler: RequestHandler) -> None:
        """A guest's request begins."""
        at = time.time()
        visitor = self._known.get(name)
        if visitor is None or not visitor.inside:
            visitor = self._known[name] = Visitor(name, mode, since=at, seen=at)
        visitor.mode, visitor.seen = mode, at
        visitor.running.add(handler)

    def done(self, name: str, handler: RequestHandler) -> None:
        """The request or websocket is over."""
        visitor = self._known.get(name)
        if visitor is not None and handler in visitor.running:
            visitor.running.discard(handler)
            visitor.seen = time.time()

    def inside(self) -> list[Visitor]:
        """Who is here now, by name; forgets who is not."""
        self._known = {name: each for name, each in self._known.items() if each.inside}
        return [self._known[name] for name in sorted(self._known)]

    def connected(self) -> bool:
        """Whether somebody has a websocket or a long request open."""
        return any(each.running for each in self._known.values())

    def expel(self, name: str) -> bool:
        """End everything that this guest has open here; whether they were inside."""
        visitor = self._known.pop(name, None)
        if visitor is None:
            return False
        for handler in list(visitor.running):
            _cut(handler)
        return visitor.inside


def _cut(handler: RequestHandler) -> None:
    with contextlib.suppress(Exception):  # it may be closing in this very moment
        if isinstance(handler, WebSocketHandler) and handler.ws_connection is not None:
            handler.close(EXPELLED, "This workspace is not shared with you any more.")
        else:
            connection = handler.request.connection
            stream = getattr(connection, "stream", None) or handler.detach()
            stream.close()
