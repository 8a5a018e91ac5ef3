"""The doors of running workspaces: who the hub lets in, who is inside, out with whom may not stay.

The hub's shares follow our table. A workspace asks the hub for them, every twenty seconds at the
latest, and at once when it is told to look again.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from petrihub_core.deployment import Deployment
from petrihub_core.errors import Conflict, NotFound, Unsupported
from petrihub_core.logs import get_logger
from petrihub_portal.hub import Hub
from petrihub_portal.origins import origin_of
from petrihub_portal.registration import WORK_SCOPE

log = get_logger(__name__)

_PAGE = 200  # shares that the hub tells at once
_ANSWER = 5.0  # seconds that a workspace has to answer
_TOKEN_SECONDS = 600


class Mode(StrEnum):
    """What a guest may do."""

    VIEW = "view"
    WORK = "work"


@dataclass(frozen=True)
class Place:
    """A workspace by the name of its owner and its own."""

    owner: str
    workspace: str

    @property
    def server(self) -> str:
        """As the hub's scopes name it."""
        return f"{self.owner}/{self.workspace}"

    @property
    def path(self) -> str:
        """Where it is opened; at this site it leads on to its owner's origin."""
        return f"/user/{quote(self.owner, safe='')}/{quote(self.workspace, safe='')}/"


@dataclass(frozen=True, kw_only=True)
class Inside:
    """A guest who is in a workspace; `connections` are open websockets."""

    name: str
    mode: Mode
    since: datetime
    connections: int


class Doors:
    """Speaks with the hub, and with workspaces through the routing proxy."""

    def __init__(self, hub: Hub, deployment: Deployment) -> None:
        self._hub = hub
        self._deployment = deployment
        self._client = httpx.AsyncClient(
            base_url=deployment.proxy_url, trust_env=False, timeout=_ANSWER
        )
        self._tokens: dict[Place, tuple[float, str]] = {}
        self._locks: dict[Place, asyncio.Lock] = {}

    def lock(self, place: Place) -> asyncio.Lock:
        """Held while the hub's shares of this workspace are brought in step."""
        return self._locks.setdefault(place, asyncio.Lock())

    async def let_in(self, place: Place) -> dict[str, Mode]:
        """Whom the hub lets in now; raises `NotFound` if there is no such workspace."""
        found: dict[str, Mode] = {}
        offset = 0
        while True:
            answer = await self._hub.call(
                "GET", "shares", place.owner, place.workspace, limit=_PAGE, offset=offset
            )
            for share in answer["items"]:
                if share["user"] is not None:
                    found[share["user"]["name"]] = _mode(place, share["scopes"])
            following = answer["_pagination"]["next"]
            if not following:
                return found
            offset = following["offset"]

    async def set(
        self, place: Place, before: Mapping[str, Mode], wanted: Mapping[str, Mode]
    ) -> bool:
        """Make the hub let in exactly those who are wanted; whether anything changed."""
        changed = False
        for name in before.keys() - wanted.keys():
            await self._change("PATCH", place, {"user": name})
            changed = True
        for name, mode in wanted.items():
            had = before.get(name)
            if had is mode:
                continue
            if had is Mode.WORK:
                narrower = {"user": name, "scopes": [_work_scope(place)]}
                await self._change("PATCH", place, narrower)
            elif not await self._grant(place, name, mode):
                continue
            changed = True
        return changed

    async def _grant(self, place: Place, name: str, mode: Mode) -> bool:
        scopes = [f"access:servers!server={place.server}"]
        if mode is Mode.WORK:
            scopes.append(_work_scope(place))
        try:
            await self._change("POST", place, {"user": name, "scopes": scopes})
        except Conflict:
            # the hub makes people known at their first sign-in; the next round finds them
            return False
        return True

    async def _change(self, method: str, place: Place, body: dict[str, Any]) -> None:
        await self._hub.call(method, "shares", place.owner, place.workspace, body=body)

    async def require_running(self, place: Place) -> None:
        """Raise in words unless the workspace runs and keeps its door itself."""
        answer = await self._ask("GET", place, "guests")
        if answer is None:
            raise Conflict(f"{place.workspace} is not running.", hint="Start it, then share it.")
        if answer.status_code != httpx.codes.OK:
            raise Unsupported(
                f"{place.workspace} was started from software that cannot be shared.",
                hint="Stop it and start it again; if it stays, ask your administrator.",
            )

    async def inside(self, place: Place) -> list[Inside]:
        """The guests who are in the workspace, by name; nobody if it does not answer."""
        answer = await self._ask("GET", place, "guests")
        if answer is None or not answer.is_success:
            return []
        return [
            Inside(
                name=str(guest["name"]),
                mode=Mode(guest["mode"]),
                since=datetime.fromtimestamp(guest["since"], UTC),
                connections=int(guest["connections"]),
            )
            for guest in answer.json()["guests"]
        ]

    async def look_again(self, place: Place) -> list[str]:
        """Have the workspace ask the hub now; the names of those whom it put out."""
        answer = await self._ask("POST", place, "guests/look")
        if answer is None or not answer.is_success:
            return []
        return [str(name) for name in answer.json()["expelled"]]

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def _ask(self, method: str, place: Place, what: str) -> httpx.Response | None:
        """The workspace's answer; None if it does not run or does not answer in time."""
        if not await self._ready(place):
            return None
        try:
            return await self._client.request(
                method,
                f"{place.path}petrihub/api/{what}",
                headers={"Authorization": f"token {await self._token(place)}", **self._at(place)},
                json={} if method == "POST" else None,
            )
        except httpx.HTTPError as exc:
            # bounded by the workspace's own round: it asks the hub every twenty seconds
            log.warning("a workspace does not answer", place=place.server, why=repr(exc)[:200])
            return None

    def _at(self, place: Place) -> dict[str, str]:
        """By this the proxy tells people's own origins apart."""
        origin = urlsplit(origin_of(self._deployment, place.owner)).netloc
        return {"Host": origin} if origin else {}

    async def _ready(self, place: Place) -> bool:
        try:
            model = await self._hub.call("GET", "users", place.owner)
        except NotFound:
            return False
        server = (model.get("servers") or {}).get(place.workspace)
        return bool(server and server["ready"])

    async def _token(self, place: Place) -> str:
        """A token that opens this one workspace as its owner, for minutes."""
        held = self._tokens.get(place)
        if held is not None and held[0] > time.monotonic():
            return held[1]
        model = await self._hub.call(
            "POST",
            *("users", place.owner, "tokens"),
            body={
                "note": "PetriHub: looks after the guests of this workspace",
                "expires_in": _TOKEN_SECONDS,
                "scopes": [f"access:servers!server={place.server}"],
            },
        )
        self._tokens[place] = (time.monotonic() + _TOKEN_SECONDS / 2, str(model["token"]))
        return str(model["token"])


def _work_scope(place: Place) -> str:
    return f"{WORK_SCOPE}!server={place.server}"


def _mode(place: Place, scopes: list[str]) -> Mode:
    return Mode.WORK if _work_scope(place) in scopes else Mode.VIEW
