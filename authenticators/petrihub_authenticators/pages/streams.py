"""JupyterHub's stream of a start's progress, so many at once and no longer than somebody listens.

JupyterHub keeps each stream until the start has ended, also when its browser has long gone. One
person could keep thousands, each with a socket of the hub, which everybody else needs as well.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from jupyterhub.apihandlers.users import SpawnProgressAPIHandler
from tornado.web import HTTPError

OF_ONE = 30  # tabs of one person that watch starts
OF_ALL = 1000
_AGAIN = 0.1  # seconds; JupyterHub takes a first cancellation for the end of the events

_open: Counter[str] = Counter()


class BoundedProgress(SpawnProgressAPIHandler):  # type: ignore[misc] # JupyterHub has no types
    """Answers 429 to who has too many streams, and 503 when all have."""

    def initialize(self) -> None:
        """Made by tornado for each request."""
        super().initialize()
        self._gone = asyncio.Event()

    def on_connection_close(self) -> None:
        """Nobody listens any more."""
        super().on_connection_close()
        self._gone.set()

    async def get(self, user_name: str, server_name: str = "") -> None:
        """The events; JupyterHub's own handler looks whether they may be seen."""
        if self.current_user is None:
            raise HTTPError(HTTPStatus.FORBIDDEN)
        with _place(self.current_user.name):
            stream = asyncio.ensure_future(super().get(user_name, server_name))
            gone = asyncio.ensure_future(self._gone.wait())
            await asyncio.wait({stream, gone}, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if stream.done():
                stream.result()  # raises what it raised
            while not stream.done():
                stream.cancel()
                await asyncio.wait({stream}, timeout=_AGAIN)


@contextmanager
def _place(name: str) -> Iterator[None]:
    if _open[name] >= OF_ONE:
        words = "You watch too many starts at once: close some tabs, then reload the page."
        raise HTTPError(HTTPStatus.TOO_MANY_REQUESTS, words)
    if _open.total() >= OF_ALL:
        words = "Too many people watch a start at the moment: reload the page in a minute."
        raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, words)
    _open[name] += 1
    try:
        yield
    finally:
        _open[name] -= 1
        if not _open[name]:
            del _open[name]
