"""Fetching a checkpoint from the image server: what is wrong is known before the engine is asked.

The engine tries again for minutes and then says little. So manifest and blobs are asked for first,
and its first retry of its own counts as an error. A fetch that moves may take hours; one that does
not is given up.
"""

import asyncio
import hashlib
from contextlib import aclosing
from http import HTTPStatus

import httpx

from petrihub_core.deployment import Deployment
from petrihub_core.image_server import PULL, TOKEN_SECONDS, Access, sign
from petrihub_spawner.backends import engine as engine_calls
from petrihub_spawner.backends.arriving import Arriving
from petrihub_spawner.backends.engine import Engine, EngineRefusal
from petrihub_spawner.runner import Journal
from petrihub_spawner.stages import (
    DISK_FULL,
    FREE_SPACE,
    LONGEST_FETCH,
    Stage,
    StartFailed,
    looks_disk_full,
)

_ANSWER = httpx.Timeout(8, connect=3)  # seconds; an error is named within ten
_PAUSES = (0.5, 2.0)  # seconds
_SLOWEST = 25_000  # bytes a second, for which the engine's token lasts
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CHOOSE = "Choose another checkpoint or a fresh start, and tell the administrator."
_LATER = "Try again in a minute; if it stays so, tell the administrator."
_NOT_COME = "The checkpoint could not be fetched from the image server."
_DAMAGED = "A part of the checkpoint is damaged in the image server."
_WORDS = {
    HTTPStatus.UNAUTHORIZED: ("The image server refused to give the checkpoint.", _LATER),
    HTTPStatus.FORBIDDEN: ("The image server refused to give the checkpoint.", _LATER),
    HTTPStatus.NOT_FOUND: ("The checkpoint is not in the image server any more.", _CHOOSE),
    HTTPStatus.TOO_MANY_REQUESTS: ("The image server has too much to do now.", _LATER),
}


async def fetch(
    deployment: Deployment, engine: Engine, reference: str, repository: str, journal: Journal
) -> None:
    """Bring a checkpoint to the engine; raises `StartFailed` in words.

    Who cancels it leaves nothing of it on the engine.
    """
    access = [Access(repository, PULL)]
    sizes = await require_whole(reference, repository, sign(deployment, access, subject="hub").text)
    # the engine asks for a layer when one before has come, which on a slow line is hours from now;
    # the token goes to it alone
    seconds = min(LONGEST_FETCH, TOKEN_SECONDS + sum(sizes.values()) // _SLOWEST)
    token = sign(deployment, access, subject="hub", seconds=seconds).text
    arriving = Arriving(sizes)
    try:
        async with (
            asyncio.timeout(LONGEST_FETCH) as clock,
            aclosing(engine.pull(reference, token)) as lines,
        ):
            async for line in lines:
                arriving.hear(line)
                await journal.moved(arriving.words, *arriving.bytes)
    except TimeoutError as exc:
        within = f"{LONGEST_FETCH // 3600} hours"
        late = f"The checkpoint did not come within {within}."
        still = f"Nothing more of it came for {engine_calls.PULL_WITHIN} seconds."
        raise _failed(late if clock.expired() else f"{_NOT_COME} {still}", _LATER) from exc
    except EngineRefusal as exc:
        said = exc.words.lower()
        if looks_disk_full(said):
            raise _failed(DISK_FULL, FREE_SPACE, exc.words) from exc
        damaged = "verification failed" in said or "invalid" in said or "unexpected eof" in said
        raise _failed(_DAMAGED if damaged else _NOT_COME, _CHOOSE, exc.words) from exc


async def require_whole(reference: str, repository: str, token: str) -> dict[str, int]:
    """The bytes of each layer by its digest; raises `StartFailed` unless the image server has the
    manifest and all that it names.
    """
    server, _, digest = reference.partition("@")
    url = f"http://{server.partition('/')[0]}/v2/{repository}"
    headers = {"Authorization": f"Bearer {token}", "Accept": _MANIFEST}
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=_ANSWER, headers=headers) as client:
            answer = await _asked(client, f"{url}/manifests/{digest}")
            _require_success(answer)
            if f"sha256:{hashlib.sha256(answer.content).hexdigest()}" != digest:
                raise _failed("The checkpoint was changed in the image server.", _CHOOSE)
            manifest = answer.json()
            for blob in (manifest["config"], *manifest["layers"]):
                answer = await client.head(f"{url}/blobs/{blob['digest']}")
                if answer.status_code == HTTPStatus.NOT_FOUND:
                    raise _failed("A part of the checkpoint is missing.", _CHOOSE, blob["digest"])
                _require_success(answer)
                if int(answer.headers.get("Content-Length", -1)) != blob["size"]:
                    raise _failed(_DAMAGED, _CHOOSE, f"{blob['digest']} has another length.")
            return {each["digest"]: each["size"] for each in manifest["layers"]}
    except httpx.ConnectError as exc:
        raise _failed("The image server does not run.", _LATER) from exc
    except httpx.TimeoutException as exc:
        raise _failed("The image server does not answer.", _LATER) from exc
    except (httpx.HTTPError, KeyError, TypeError, ValueError) as exc:
        raise _failed("The image server's answer cannot be read.", _LATER, str(exc)) from exc


async def _asked(client: httpx.AsyncClient, url: str) -> httpx.Response:
    """The answer; what may be over in a moment is asked for again."""
    for pause in _PAUSES:
        answer = await client.get(url)
        if answer.status_code != HTTPStatus.TOO_MANY_REQUESTS and not answer.is_server_error:
            return answer
        await asyncio.sleep(pause)
    return await client.get(url)


def _require_success(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    status = answer.status_code
    usual = (f"The image server has an error ({status}).", _LATER)
    words, hint = next((said for code, said in _WORDS.items() if code == status), usual)
    raise _failed(words, hint, answer.text[:300])


def _failed(words: str, hint: str, log: str = "") -> StartFailed:
    return StartFailed(words, stage=Stage.PREPARING, hint=hint, log=log)
