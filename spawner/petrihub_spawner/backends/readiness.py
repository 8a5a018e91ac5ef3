"""Waits until a workspace answers, and notices at once when it has died instead."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import httpx

from petrihub_spawner.pod.model import Door
from petrihub_spawner.runner import Address

_PAUSE = 0.05  # seconds between two knocks; a refused connection costs well under a millisecond
_LOOK_EVERY = 0.5  # seconds between two looks at whether it still lives
_ANSWER_WITHIN = 5.0
# only plain HTTP is spoken here; to load all authorities costs the hub's loop 20 ms each time
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_PROOF = "PetriHub-Proof"  # what the gate answers with, so that nothing else passes for it
_PROBLEM = "PetriHub-Problem"  # why it will not open
_LONGEST_PROBLEM = 300


async def wait_ready(
    address: Address, door: Door, died: Callable[[], Awaitable[str]], *, within: float
) -> str:
    """Empty once the door answers below 500; else why it never will, or what `died` said.

    Raises `TimeoutError` after `within` seconds.
    """
    loop = asyncio.get_running_loop()
    async with (
        asyncio.timeout(within),
        # no proxy settings of the hub: the workspace is next door
        httpx.AsyncClient(trust_env=False, verify=_NO_TLS, timeout=_ANSWER_WITHIN) as client,
    ):
        looked = loop.time()
        while True:
            answer = await _answer(client, address.url + door.ready_path)
            if answer is not None:
                if door.proof and answer.headers.get(_PROOF) != door.proof:
                    return "Something else answers at the port of its sign-in."
                if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                    return ""
                if door.proof and _PROBLEM in answer.headers:
                    return answer.headers[_PROBLEM][:_LONGEST_PROBLEM]
            if loop.time() - looked >= _LOOK_EVERY:
                looked = loop.time()
                if reason := await died():
                    return reason
            await asyncio.sleep(_PAUSE)


async def _answer(client: httpx.AsyncClient, url: str) -> httpx.Response | None:
    try:
        return await client.get(url)
    except httpx.TransportError:
        return None
