"""What all handlers of the gate share: one decision about who may pass, and pages in our words."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
from tornado.web import Finish, HTTPError, RequestHandler

from petrihub_sidecars.gate.pages import Page, rendered
from petrihub_sidecars.gate.sign_in import Refused
from petrihub_sidecars.gate.visits import Mode, Session

if TYPE_CHECKING:
    from petrihub_sidecars.gate.app import Gate

_READS = ("GET", "HEAD", "OPTIONS")
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'"
)
_FOREIGN = "This came from a page of another address. Open the workspace itself."
_SIGN_IN = "Sign in first."


class Guarded(HubOAuthenticated, RequestHandler):  # type: ignore[misc]  # JupyterHub has no types
    """Nothing of the tool, and nothing about people, is reached without `admit`."""

    def initialize(self, gate: "Gate") -> None:
        """Tornado's constructor."""
        self.gate = gate
        self.hub_auth = gate.sign_in.oauth

    @property
    def upgrades(self) -> bool:
        """Whether this asks for a websocket."""
        return bool(self.request.headers.get("Upgrade", "").lower() == "websocket")

    @property
    def navigates(self) -> bool:
        """Whether a person opens a page by this, so that a page is the right answer."""
        headers = self.request.headers
        mode = headers.get("Sec-Fetch-Mode")
        opens = mode == "navigate" if mode else "text/html" in headers.get("Accept", "")
        return bool(self.request.method == "GET" and not self.upgrades and opens)

    async def admit(self, *, owner: bool = False) -> Session:
        """Who comes, if they may; else the answer is given and `Finish` raised.

        The same for every method, and before any websocket is accepted.
        """
        try:
            session = await self.gate.sign_in.session_of(self)
        except Refused as exc:
            raise self.refuse(HTTPStatus.FORBIDDEN, "You may not enter", exc.words) from exc
        foreign = self._foreign() if session is None or session.way == "browser" else ""
        if foreign:
            raise self.refuse(HTTPStatus.FORBIDDEN, "This was refused", foreign)
        if session is None:
            if self.navigates:
                self.redirect(self.get_login_url())
                raise Finish
            raise self.refuse(HTTPStatus.UNAUTHORIZED, "Please sign in", _SIGN_IN)
        if owner and session.mode is not Mode.OWNER:
            words = "Only the owner of this workspace may see this."
            raise self.refuse(HTTPStatus.FORBIDDEN, "You may not enter", words)
        return session

    def _foreign(self) -> str:
        """Why this request may come from somebody else's page, in words; empty if it does not."""
        headers = self.request.headers
        origin = headers.get("Origin")
        site = headers.get("Sec-Fetch-Site", "")
        own_origin = origin is not None and self._own(origin)
        if self.upgrades:
            return "" if own_origin else _FOREIGN
        if self.request.method not in _READS:
            return "" if own_origin or (origin is None and site == "same-origin") else _FOREIGN
        if site in ("cross-site", "same-site"):
            # a link from elsewhere may open the tool; it may not be framed or read from elsewhere
            opens = self.navigates and headers.get("Sec-Fetch-Dest", "document") == "document"
            return "" if opens else _FOREIGN
        return "" if origin is None or own_origin else _FOREIGN

    def _own(self, origin: str) -> bool:
        parts = urlsplit(origin)
        scheme = self.gate.settings.public_scheme
        return parts.netloc.lower() == self.request.headers.get(
            "Host", ""
        ).lower() and parts.scheme in ((scheme,) if scheme else ("http", "https"))

    def refuse(self, status: HTTPStatus, heading: str, words: str, **more: Any) -> Finish:
        """Answer in words, as a page for people and as one line for programs; to be raised."""
        self.clear()
        self.set_status(status)
        self.set_header("Cache-Control", "no-store")
        if "retry" in more:
            self.set_header("Retry-After", str(more["retry"]))
        if self.navigates:
            self.show(Page(heading, words, **more))
        else:
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
            self.finish(f"{words}\n")
        return Finish()

    def show(self, page: Page) -> None:
        """Finish with a page of ours."""
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Content-Security-Policy", _POLICY + "; frame-ancestors 'self'")
        self.set_header("Referrer-Policy", "no-referrer")
        self.finish(rendered(page, self.gate.settings))

    def set_default_headers(self) -> None:
        """Nothing about what runs here."""
        self.clear_header("Server")
        self.set_header("X-Content-Type-Options", "nosniff")
        # tornado hangs up after an answer that came before the body; a proxy that does not know
        # sends its next request into nothing
        self.set_header("Connection", "close")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Words instead of tornado's phrases; no detail of what went wrong leaves the gate."""
        unreachable = isinstance(kwargs.get("exc_info", (None, None))[1], HTTPError)
        if (
            status_code in (HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY)
            and unreachable
        ):
            words = "The hub does not answer, so nobody can be let in now. Try again in a moment."
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Not available just now", words, retry=5)
            return
        words = _WORDS.get(status_code, "Something went wrong here. Try again in a moment.")
        self.refuse(HTTPStatus(status_code), "That did not work", words)


_WORDS = {
    400: "This request is not as it should be.",
    403: "The sign-in was not begun in this browser, or took too long. Open the workspace again.",
    404: "There is nothing at this address.",
    405: "This cannot be done here.",
}


class Callback(Guarded, HubOAuthCallbackHandler):  # type: ignore[misc]  # JupyterHub has no types
    """The end of the sign-in: checks state and PKCE, then the browser has its session."""
