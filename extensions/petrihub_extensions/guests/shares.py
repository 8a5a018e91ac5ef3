"""With whom this workspace is shared: the hub says it, and is asked again before it is stale."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any
from urllib.parse import quote

from jupyterhub.services.auth import HubAuth, _ExpiringDict
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.web import HTTPError

from petrihub_extensions.guests.rules import Mode

WORK_SCOPE = "custom:petrihub-workspace:work"
FRESH = 20.0  # seconds that an answer of the hub counts
_ANSWER = 5.0  # seconds that the hub has to answer
_PAGE = 200


class Shares:
    """The people who may be here beside the owner. Closed where the hub cannot be asked."""

    def __init__(self, hub: HubAuth, owner: str, workspace: str) -> None:
        self.owner = owner
        self.workspace = workspace
        self._hub = hub
        self._modes: dict[str, Mode] = {}
        self._asked = float("-inf")
        self._lock = asyncio.Lock()

    async def mode(self, name: str) -> Mode | None:
        """How this person may be here; None: not at all. Raises `HTTPError` 503 without the hub."""
        if not self._fresh():
            async with self._lock:
                if not self._fresh():
                    await self._ask()
        return self.known(name)

    def known(self, name: str) -> Mode | None:
        """The last answer, without asking; None when it is much older than it may be."""
        return None if self.lost else self._modes.get(name)

    @property
    def lost(self) -> bool:
        """Whether the hub has not answered for so long that nobody may stay."""
        return time.monotonic() - self._asked > 3 * FRESH

    async def look(self) -> None:
        """Ask the hub now, whatever was known."""
        async with self._lock:
            await self._ask()

    def _fresh(self) -> bool:
        return time.monotonic() - self._asked < FRESH

    async def _ask(self) -> None:
        modes: dict[str, Mode] = {}
        offset: int | None = 0
        begun = time.monotonic()
        while offset is not None:
            answer = await self._page(offset)
            for share in answer["items"]:
                if share["user"] is not None:
                    modes[share["user"]["name"]] = self._mode(share["scopes"])
            following = answer["_pagination"]["next"]
            offset = following["offset"] if following else None
        self._modes, self._asked = modes, begun

    async def _page(self, offset: int) -> dict[str, Any]:
        where = f"shares/{quote(self.owner, safe='')}/{quote(self.workspace, safe='')}"
        request = HTTPRequest(
            f"{self._hub.api_url}/{where}?limit={_PAGE}&offset={offset}",
            headers={"Authorization": f"token {self._hub.api_token}"},
            request_timeout=_ANSWER,
            connect_timeout=_ANSWER,
        )
        try:
            answer = await AsyncHTTPClient().fetch(request)
        except Exception as exc:
            logging.getLogger(__name__).warning("the hub does not say who may be here: %s", exc)
            raise HTTPError(503, "PetriHub cannot be asked now who may be here.") from exc
        return json.loads(answer.body)  # type: ignore[no-any-return]

    def _mode(self, scopes: list[str]) -> Mode:
        work = f"{WORK_SCOPE}!server={self.owner}/{self.workspace}"
        return Mode.WORK if work in scopes else Mode.VIEW


class Identities(_ExpiringDict):  # type: ignore[misc]  # JupyterHub has no types
    """The hub's answers about tokens: the owner's count as long as ever, a guest's for seconds."""

    def __init__(self, owner: str, max_age: float) -> None:
        super().__init__(max_age)
        self._owner = owner

    def _check_age(self, key: str) -> None:
        if key in self.values:
            model = self.values[key]
            owners = bool(model) and model.get("name") == self._owner
            if not owners and self.timestamps[key] + FRESH < time.monotonic():
                del self[key]
                return
        super()._check_age(key)

    def forget_guests(self) -> None:
        """Whoever is not the owner is asked about again."""
        for key, model in list(self.values.items()):
            if not model or model.get("name") != self._owner:
                del self[key]
