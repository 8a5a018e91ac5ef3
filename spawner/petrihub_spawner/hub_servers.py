"""What the hub knows of its servers, asked through its API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from petrihub_core.errors import Unavailable

_PAGE = 200


@dataclass(frozen=True, kw_only=True)
class Server:
    """One workspace as the hub sees it; `pending` is spawn, stop, check or empty."""

    user: str
    name: str
    ready: bool
    pending: str
    workspace: str


class HubServers:
    """The hub's servers; needs the scopes list:users, read:servers, admin:server_state,
    delete:servers, start:servers.
    """

    def __init__(self, api_url: str, token: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=api_url,
            trust_env=False,
            timeout=30,
            headers={
                "Authorization": f"token {token}",
                "Accept": "application/jupyterhub-pagination+json",
            },
        )

    async def active(self, person_ids: Mapping[str, str]) -> dict[str, Server]:
        """The servers that run, start, stop or are being checked, by workspace key.

        `person_ids` are the ids of people by their names. Raises `Unavailable` without an answer.
        """
        servers: dict[str, Server] = {}
        offset = 0
        while True:
            page = await self._get("/users", {"state": "active", "limit": _PAGE, "offset": offset})
            for user in page["items"]:
                for server in (user.get("servers") or {}).values():
                    known = _server(user["name"], server, person_ids)
                    servers[known.workspace] = known
            following = page["_pagination"].get("next")
            if not following:
                return servers
            offset = following["offset"]

    async def stop(self, server: Server) -> None:
        """Ask the hub to stop this server; raises `Unavailable` if it does not take it."""
        path = f"/users/{quote(server.user, safe='')}/servers/{quote(server.name, safe='')}"
        try:
            answer = await self._client.delete(path)
        except httpx.HTTPError as exc:
            raise _silent() from exc
        if answer.is_server_error:
            raise _silent()

    async def start(self, user: str, name: str, options: Mapping[str, Any]) -> str:
        """Ask the hub to start this server; empty, or why it refused. Raises `Unavailable`."""
        path = f"/users/{quote(user, safe='')}/servers/{quote(name, safe='')}"
        try:
            answer = await self._client.post(path, json={"user_options": dict(options)})
        except httpx.HTTPError as exc:
            raise _silent() from exc
        if answer.is_success:
            return ""
        try:
            words = str(answer.json().get("message") or "")
        except ValueError:
            words = ""
        return words or f"The hub refused it ({answer.status_code})."

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def _get(self, path: str, query: dict[str, str | int]) -> Any:
        try:
            answer = await self._client.get(path, params=query)
            answer.raise_for_status()
            return answer.json()
        except httpx.HTTPError as exc:
            raise _silent() from exc


def _server(user: str, model: dict[str, Any], person_ids: Mapping[str, str]) -> Server:
    state = model.get("state") or {}
    # a server that the hub has just found again has no state yet: then its name tells
    workspace = state.get("workspace") or f"{person_ids.get(user, user)}/{model['name']}"
    return Server(
        user=user,
        name=model["name"],
        ready=bool(model["ready"]),
        pending=model["pending"] or "",
        workspace=workspace,
    )


def _silent() -> Unavailable:
    return Unavailable("The hub does not answer.", hint="Nothing is changed until it does.")
