"""JupyterHub's REST API and its sign-in, as the portal uses them with its own service token."""

import hashlib
import time
from typing import Any
from urllib.parse import quote

import httpx

from petrihub_core.errors import Conflict, NotFound, PetriHubError, Refused, Unavailable

_TIMEOUT = 30.0  # seconds; the hub's loop may be busy with starts
_WHO = 8.0  # the same for "whose token is this", for which every page waits
_REMEMBER = 20.0  # seconds that an answer about a token counts: revocation is seen within
_MOST_REMEMBERED = 10_000


class Hub:
    """Raises `Unavailable` when the hub does not answer, else the error that its status means."""

    def __init__(self, api_url: str, token: str, client_id: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=api_url,
            trust_env=False,
            timeout=_TIMEOUT,
            headers={"Authorization": f"token {token}"},
        )
        self._token = token
        self.client_id = client_id
        self._known: dict[str, tuple[float, dict[str, Any] | None]] = {}

    async def call(self, method: str, *path: str, body: Any = None, **query: Any) -> Any:
        """One call of the REST API; `path` parts are quoted. The answer as JSON, None if empty."""
        where = "/" + "/".join(quote(part, safe="") for part in path)
        try:
            answer = await self._client.request(method, where, json=body, params=query or None)
        except httpx.HTTPError as exc:
            raise Unavailable(
                "The hub does not answer.", hint="Nothing was changed. Try again in a minute."
            ) from exc
        if answer.is_success:
            return answer.json() if answer.content else None
        raise _error(answer)

    async def stop(self, user: str, server: str) -> None:
        """Have the hub stop a workspace; it may still be stopping when this returns."""
        where = ("users", user, "servers", server)
        try:
            await self.call("DELETE", *where)
        except Unavailable:
            # of two who ask at the same moment JupyterHub answers one with 500
            now = await self.call("GET", *where)
            if not now["stopped"] and now["pending"] != "stop":
                raise

    async def person_behind(self, token: str, session_id: str = "") -> dict[str, Any] | None:
        """The hub's model of whoever holds this token; None if it is no (longer a) token.

        An answer counts for some seconds, in the session in which it was asked for.
        """
        digest = hashlib.sha256(f"{session_id}:{token}".encode("utf8", "replace")).hexdigest()
        known = self._known.get(digest)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        try:
            model = await self._whose(token)
            if model is None:
                # without its database the hub knows nobody, and says so as to a stranger
                if await self._whose(self._token) is None:
                    raise _silent()
                model = await self._whose(token)
        except (UnicodeEncodeError, ValueError):
            return None  # not even a header could hold it
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[digest] = (time.monotonic() + _REMEMBER, model)
        return model

    def forget(self, name: str) -> None:
        """Ask the hub anew about every token of this person: they were revoked just now."""
        self._known = {
            digest: known
            for digest, known in self._known.items()
            if known[1] is None or known[1].get("name") != name
        }

    async def _whose(self, token: str) -> dict[str, Any] | None:
        try:
            answer = await self._client.get(
                "/user", headers={"Authorization": f"token {token}"}, timeout=_WHO
            )
        except httpx.HTTPError as exc:
            raise _silent() from exc
        if answer.is_server_error:
            raise _silent()
        model: dict[str, Any] | None = answer.json() if answer.is_success else None
        return model

    async def token_for_code(self, code: str, verifier: str, redirect_uri: str) -> str:
        """The access token for an OAuth code; raises `Refused` if the hub does not take it."""
        form = {
            "client_id": self.client_id,
            "client_secret": self._token,
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        try:
            answer = await self._client.post("/oauth2/token", data=form)
        except httpx.HTTPError as exc:
            raise _silent() from exc
        if not answer.is_success:
            raise Refused("The sign-in was not completed.", hint="Open the page again.")
        return str(answer.json()["access_token"])

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()


def _silent() -> Unavailable:
    return Unavailable("The hub does not answer.", hint="Try again in a minute.")


def _error(answer: httpx.Response) -> PetriHubError:
    try:
        words = str(answer.json().get("message") or "")
    except ValueError:
        words = ""
    if answer.status_code == httpx.codes.NOT_FOUND:
        return NotFound(words or "The hub does not know this.")
    if answer.status_code in (httpx.codes.CONFLICT, httpx.codes.BAD_REQUEST):
        return Conflict(words or "The hub refused this.")
    if answer.is_server_error:
        return Unavailable(words or "The hub could not do this now.", hint="Try again in a minute.")
    return Refused(words or f"The hub refused this ({answer.status_code}).")
