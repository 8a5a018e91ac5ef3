"""Calls of a Docker engine: the one place that uses its blocking client, in threads of its own."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env
from requests.exceptions import ConnectionError as NotConnected
from requests.exceptions import ReadTimeout

from petrihub_core.errors import PetriHubError, Unavailable

ASK_WITHIN = 8  # seconds for a question; within the ten in which a dead engine must be named
ACT_WITHIN = 60  # seconds for what makes the engine work
_THREADS = 16  # stock DockerSpawner has one, and starts of several people wait for each other
_PAUSE_AFTER_SILENCE = 5.0  # seconds in which a silent engine is not asked again
_ASK_ADMIN = "Ask the administrator to look at the Docker engine, then try again."


class EngineDown(Unavailable):
    """No engine answers at the socket."""


class EngineSilent(Unavailable):
    """The engine took the question and does not answer."""


class EngineRefusal(PetriHubError):
    """The engine answered that it will not or cannot; `code` is its HTTP status."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"The Docker engine says: {words}", hint=_ASK_ADMIN)
        self.code = code
        self.words = words


class Engine:
    """A Docker engine behind a unix socket; empty: the one that the environment names."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="docker-engine")
        self._own = threading.local()
        self._version = "auto"
        self._silent_until = 0.0

    async def ask(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """The answer to a question that changes nothing."""
        return await self._in_thread(ASK_WITHIN, method, *args, **kwargs)

    async def act(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """The answer after the engine did something."""
        return await self._in_thread(ACT_WITHIN, method, *args, **kwargs)

    async def _in_thread(self, within: int, method: str, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() < self._silent_until:
            # every thread that waits for a hanging engine is one less for when it is back
            raise _silence()
        call = self._threads.submit(self.call, within, method, *args, **kwargs)
        try:
            return await asyncio.wrap_future(call)
        except EngineSilent:
            self._silent_until = time.monotonic() + _PAUSE_AFTER_SILENCE
            raise

    def call(self, within: int, method: str, *args: Any, **kwargs: Any) -> Any:
        """The same, blocking, with the time for each answer in seconds.

        Raises `EngineDown`, `EngineSilent` or `EngineRefusal`.
        """
        try:
            client = self._client(within)
            return getattr(client, method)(*args, **kwargs)
        except APIError as exc:
            code = exc.status_code or 0
            raise EngineRefusal(int(code), str(exc.explanation or exc)) from exc
        except ReadTimeout as exc:
            raise _silence() from exc
        except (NotConnected, DockerException) as exc:
            if "timed out" in str(exc).lower():
                raise _silence() from exc
            raise EngineDown("The Docker engine is not running.", hint=_ASK_ADMIN) from exc

    def _client(self, within: int) -> Any:
        # a client for each thread: its connections are not made for several
        client = getattr(self._own, "client", None)
        if client is None:
            where = {"base_url": f"unix://{self._socket}"} if self._socket else kwargs_from_env()
            client = docker.APIClient(version=self._version, timeout=within, **where)
            self._own.client = client
            self._version = client.api_version  # asked once, not by every thread
        client.timeout = within
        return client


def _silence() -> EngineSilent:
    return EngineSilent("The Docker engine does not answer.", hint=_ASK_ADMIN)
