"""The image service as the checkpointer talks to it: orders, progress, results, tokens."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

import httpx

from petrihub_sidecars.checkpointer.image import History
from petrihub_sidecars.checkpointer.registry import RegistryFailed

Json = dict[str, Any]

_WAIT = 25  # seconds for which the service holds a question for an order
_TIMEOUT = httpx.Timeout(20, connect=5)
_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.GONE)
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0

log = logging.getLogger("checkpointer")


class Withdrawn(Exception):
    """Nobody wants this order's result any more."""


@dataclass(frozen=True)
class Order:
    """What is to be done: `measure` tells what a save would hold, `save` saves it."""

    id: str
    kind: Literal["measure", "save"]
    repository: str
    registry: str
    manifest: Json
    config: Json
    history: History
    accepted: frozenset[str]

    @classmethod
    def read(cls, data: Json) -> "Order":
        """From the service's answer; raises `KeyError`, `TypeError` or `ValueError`."""
        kind = data["kind"]
        if kind not in ("measure", "save"):
            raise ValueError(f"there is no order {kind!r}")
        history = data.get("history") or {}
        return cls(
            id=str(data["id"]),
            kind=kind,
            repository=str(data.get("repository", "")),
            registry=str(data.get("registry", "")),
            manifest=dict(data.get("manifest") or {}),
            config=dict(data.get("config") or {}),
            history=History(
                author=str(history.get("author", "")),
                comment=str(history.get("comment", "")),
                created=str(history.get("created", "")),
            ),
            accepted=frozenset(data.get("accept_findings") or ()),
        )


class Service:
    """The service at `url`; `sleep` waits between tries."""

    def __init__(
        self, url: str, credential: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {credential}"},
            timeout=_TIMEOUT,
            trust_env=False,
        )
        self._sleep = sleep

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def next_order(self) -> Json:
        """The next order, as it came; waits for as long as it takes."""
        pause = _FIRST_PAUSE
        while True:
            try:
                answer = self._client.get(
                    "/sidecar/v1/order", params={"wait": _WAIT}, timeout=_WAIT + 15
                )
                if answer.status_code == HTTPStatus.OK:
                    order: Json = answer.json()
                    return order
                if answer.status_code == HTTPStatus.NO_CONTENT:
                    pause = _FIRST_PAUSE
                    continue
                log.warning("The image service answers %s.", answer.status_code)
            except (httpx.HTTPError, ValueError) as exc:
                log.warning("The image service does not answer: %s.", type(exc).__name__)
            self._sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def progress(self, order: str, told: Json) -> None:
        """Say how far an order is; raises `Withdrawn`. That nobody listens does not matter."""
        try:
            answer = self._client.post(f"/sidecar/v1/orders/{order}/progress", json=told)
        except httpx.HTTPError:
            return
        if answer.status_code in _GONE:
            raise Withdrawn(order)

    def result(self, order: str, result: Json) -> None:
        """Hand in the result, again and again until the service has taken or refused it."""
        pause = _FIRST_PAUSE
        while True:
            try:
                answer = self._client.post(f"/sidecar/v1/orders/{order}/result", json=result)
            except httpx.HTTPError as exc:
                log.warning("A result cannot be handed in yet: %s.", type(exc).__name__)
            else:
                if answer.is_success:
                    return
                log.warning("The image service answers a result with %s.", answer.status_code)
                if answer.status_code in _GONE or answer.is_client_error:
                    return  # it is given again if anybody still wants it
            self._sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def token(self, repository: str) -> str:
        """A token to push to this repository, for some minutes."""
        answer = self._client.get(
            "/token",
            params={"service": "petrihub-images", "scope": f"repository:{repository}:push"},
        )
        if answer.is_client_error:
            raise RegistryFailed("This workspace has no right to save any more.")
        answer.raise_for_status()
        token: str = answer.json()["token"]
        return token
