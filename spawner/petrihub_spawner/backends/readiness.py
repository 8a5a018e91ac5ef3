"""Waits until a workspace answers, and notices at once when it has died instead."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import httpx

from petrihub_spawner.runner import Address

_PAUSE = 0.05  # seconds between two knocks; a refused connection costs well under a millisecond
_LOOK_EVERY = 0.5  # seconds between two looks at whether it still lives
_ANSWER_WITHIN = 5.0
# only plain HTTP is spoken here; to load all authorities costs the hub's loop 20 ms each time
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def wait_ready(
    address: Address, path: str, died: Callable[[], Awaitable[str]], *, within: float
) -> str:
    """Empty once `path` answers below 500; else what `died` said.

    Raises `TimeoutError` after `within` seconds.
    """
    loop = asyncio.get_running_loop()
    async with (
        asyncio.timeout(within),
        # no proxy settings of the hub: the workspace is next door
        httpx.AsyncClient(trust_env=False, verify=_NO_TLS, timeout=_ANSWER_WITHIN) as client,
    ):
        looked = loop.time()
        while not await _answers(client, address.url + path):
            if loop.time() - looked >= _LOOK_EVERY:
                looked = loop.time()
                if reason := await died():
                    return reason
            await asyncio.sleep(_PAUSE)
    return ""


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        response = await client.get(url)
    except httpx.TransportError:
        return False
    return response.status_code < httpx.codes.INTERNAL_SERVER_ERROR
