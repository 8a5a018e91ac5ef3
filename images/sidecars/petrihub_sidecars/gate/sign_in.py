"""Who comes: JupyterHub's OAuth with state and PKCE, and what the hub says of them since."""

import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from jupyterhub.services.auth import HubOAuth
from tornado.web import HTTPError, RequestHandler

from petrihub_sidecars.gate.settings import GateSettings
from petrihub_sidecars.gate.visits import Mode, Session, Visits

RECHECK = 20.0  # seconds for which the hub's word counts; what it revokes ends within
WORK_SCOPE = "custom:petrihub-workspace:work"  # in a share of the hub: more than to view
_PAGE = 200  # shares that the hub tells at once
_BEARER = re.compile(r"(?:token|bearer)\s+(\S+)", re.IGNORECASE)

NOT_SHARED = "This workspace is not shared with you, or not any more. Ask its owner."
ONLY_LOOK = (
    "You may only look at this workspace, and this tool cannot tell looking from working. "
    "Ask its owner to let you work in it."
)


class GateOAuth(HubOAuth):  # type: ignore[misc]  # JupyterHub has no types
    """HubOAuth whose cookie names a session instead of holding the hub's token."""

    visits: Visits

    def set_cookie(self, handler: RequestHandler, access_token: str) -> None:
        """Begin a session for this token; JupyterHub's callback calls it after the sign-in."""
        mark = self.visits.begin(access_token, self.get_session_id(handler))
        handler.set_cookie(
            self.cookie_name,
            mark,
            path=self.cookie_path,
            httponly=True,
            secure=self.cookie_host_prefix_enabled,
            samesite="Lax",
        )

    def _get_token_cookie(self, handler: RequestHandler) -> str | None:
        session = self.visits.of_cookie(handler.get_cookie(self.cookie_name) or "")
        return session.token if session else None


@dataclass
class Refused(Exception):
    """Somebody whom we know may not enter; `words` say why."""

    words: str


class SignIn:
    """Decides who somebody is and how they may be here, for requests and websockets alike."""

    def __init__(self, settings: GateSettings, visits: Visits) -> None:
        self._settings = settings
        self.visits = visits
        self.oauth = GateOAuth(cookie_host_prefix_enabled=settings.secure)
        self.oauth.visits = visits

    async def session_of(self, handler: RequestHandler) -> Session | None:
        """The session that this request belongs to; None: nobody has signed in.

        A token counts only in the header: never in an address, where it would be passed around.
        Raises `Refused` for those who may not enter, `HTTPError` if the hub cannot be asked.
        """
        session, hub_session = self._brought(handler)
        if session is None:
            return None
        stale = time.monotonic() - session.checked > RECHECK
        # who has signed out at the hub, or in again as somebody else, is another browser to us
        other = session.way == "browser" and session.hub_session != hub_session
        if stale or other:
            await self.ask_hub(session)
            session.hub_session = hub_session
        if session.refusal:
            raise Refused(session.refusal)
        return session if session.mode else None

    def _brought(self, handler: RequestHandler) -> tuple[Session | None, str]:
        hub_session = self.oauth.get_session_id(handler)
        brought = _BEARER.fullmatch(handler.request.headers.get("Authorization", "").strip())
        if brought:
            return self.visits.of_token(brought[1]), hub_session
        mark = handler.get_cookie(self.oauth.cookie_name) or ""
        return (self.visits.of_cookie(mark) if mark else None), hub_session

    async def ask_hub(self, session: Session) -> None:
        """Bring the session in step with what the hub says now; cuts what may not go on."""
        asked = time.monotonic()
        async with session.lock:
            if session.checked > asked:
                return  # somebody asked while we waited
            model = await self.oauth.user_for_token(session.token, use_cache=False, sync=False)
            session.checked = time.monotonic()
            had = session.mode
            if not model:
                session.mode, session.refusal = None, ""
                self.visits.end(session)
                return
            session.name = str(model["name"])
            session.mode, session.refusal = await self._judged(model)
            if had and session.mode is not had:
                self.visits.put_out(session)

    async def _judged(self, model: dict[str, Any]) -> tuple[Mode | None, str]:
        """How this person may be here, or why not."""
        if model.get("kind") != "user" or not self.oauth.check_scopes(
            self.oauth.access_scopes, model
        ):
            return None, NOT_SHARED
        if model["name"] == self._settings.owner:
            return Mode.OWNER, ""
        scopes = await self._shared_with(str(model["name"]))
        if scopes is None:
            return None, NOT_SHARED
        return (Mode.WORK, "") if self._work in scopes else (None, ONLY_LOOK)

    @property
    def _work(self) -> str:
        return f"{WORK_SCOPE}!server={self._settings.owner}/{self._settings.workspace}"

    async def _shared_with(self, name: str) -> list[str] | None:
        """The scopes with which the workspace is shared with this person; None: it is not."""
        place = "/".join(
            quote(each, safe="") for each in (self._settings.owner, self._settings.workspace)
        )
        offset = 0
        while True:
            url = f"{self.oauth.api_url}/shares/{place}?limit={_PAGE}&offset={offset}"
            answer = await self.oauth._api_request("GET", url)
            for share in answer["items"]:
                if share["user"] is not None and share["user"]["name"] == name:
                    return [str(scope) for scope in share["scopes"]]
            following = answer["_pagination"]["next"]
            if not following:
                return None
            offset = int(following["offset"])

    async def look_again(self) -> list[str]:
        """Ask the hub about everybody now; the names of those who had to go."""
        before = {visit.name for visit in self.visits.inside() if visit.mode is not Mode.OWNER}
        for session in self.visits.sessions():
            session.checked = 0.0
            try:
                await self.ask_hub(session)
            except HTTPError:
                self.visits.put_out(session)  # who cannot be vouched for goes
        left = {each.name for each in self.visits.sessions() if each.mode}
        return sorted(before - left)

    async def keep_watch(self) -> None:
        """One round over those who have something open: requests are judged when they come."""
        for session in self.visits.sessions():
            visit = session.visit
            if visit and visit.cuts and time.monotonic() - session.checked > RECHECK:
                try:
                    await self.ask_hub(session)
                except HTTPError:
                    # a hub that restarts ends nobody's work; it is asked again in the next round
                    continue
