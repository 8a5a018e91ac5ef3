"""Calls of a Docker engine: the one place that uses its blocking client, in threads of its own."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import docker
import httpx
from docker.auth import encode_header
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env, parse_host
from requests.exceptions import ConnectionError as NotConnected
from requests.exceptions import ReadTimeout

from petrihub_core.errors import PetriHubError, Unavailable

ASK_WITHIN = 8  # seconds for a question; within the ten in which a dead engine must be named
ACT_WITHIN = 60  # seconds for what makes the engine work
# seconds without a word while an image comes. The engine speaks after every 512 KiB of a layer and
# fetches three at once, so that this is a line of 100 kbit/s
PULL_WITHIN = 120
_THREADS = 16  # stock DockerSpawner has one, and starts of several people wait for each other
_PAUSE_AFTER_SILENCE = 5.0  # seconds in which a silent engine is not asked again
_ASK_ADMIN = "Ask the administrator to look at the Docker engine, then try again."
_Result = TypeVar("_Result")


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

    async def pull(
        self, reference: str, registry_token: str
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Bring an image to the engine; its report, line by line, until the image is there.

        Who closes this ends the pull: the engine has no call for that, but gives up what nobody
        listens to, and removes what it had fetched. Raises `EngineRefusal` in the engine's words,
        and `TimeoutError` after `PULL_WITHIN` seconds without a line.
        """
        image, _, tag = reference.partition("@")
        auth = encode_header({"registrytoken": registry_token}).decode()
        wanted, headers = {"fromImage": image, "tag": tag}, {"X-Registry-Auth": auth}
        try:
            async with (
                self._connected(PULL_WITHIN) as client,
                client.stream("POST", "/images/create", params=wanted, headers=headers) as answer,
            ):
                if answer.is_error:
                    said = (await answer.aread()).decode(errors="replace")
                    raise EngineRefusal(answer.status_code, said[:500])
                # it answers that all is well before it begins; what went wrong is in the lines
                async for text in answer.aiter_lines():
                    line = json.loads(text)
                    status = str(line.get("status", ""))
                    if "error" in line or status.startswith("Retrying"):
                        raise EngineRefusal(502, str(line.get("error") or status)[:500])
                    yield line
        except httpx.TimeoutException as exc:
            raise TimeoutError from exc
        except httpx.TransportError as exc:
            raise _down() from exc

    def _connected(self, within: float) -> httpx.AsyncClient:
        """A client that does not block, for what takes long and may be given up."""
        named = f"unix://{self._socket}" if self._socket else kwargs_from_env().get("base_url")
        host = str(parse_host(named))
        socket = host.removeprefix("http+unix://")
        if socket == host:
            return httpx.AsyncClient(base_url=host, timeout=within, trust_env=False)
        transport = httpx.AsyncHTTPTransport(uds=socket)
        return httpx.AsyncClient(base_url="http://engine", timeout=within, transport=transport)

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
        with _in_words():
            return getattr(self._client(within), method)(*args, **kwargs)

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


async def to_its_end(work: Coroutine[Any, Any, _Result]) -> _Result:
    """The result of `work`, which goes on when we are cancelled: an engine's calls cannot be taken
    back, and what they make must be there before it can be removed.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except APIError as exc:
        code = exc.status_code or 0
        raise EngineRefusal(int(code), str(exc.explanation or exc)) from exc
    except ReadTimeout as exc:
        raise _silence() from exc
    except (NotConnected, DockerException) as exc:
        if "timed out" in str(exc).lower():
            raise _silence() from exc
        raise _down() from exc


def _down() -> EngineDown:
    return EngineDown("The Docker engine is not running.", hint=_ASK_ADMIN)


def _silence() -> EngineSilent:
    return EngineSilent("The Docker engine does not answer.", hint=_ASK_ADMIN)
