"""The sign-in page: JupyterHub's, with our words, statuses and headers."""

from collections.abc import Awaitable
from typing import Any

from jupyterhub.handlers.login import LoginHandler

from petrihub_authenticators.pages.page import Page
from petrihub_core.errors import NotAllowed, PetriHubError

_SHOWN = 64  # characters of the typed name that come back
_READ = 1024  # characters of a field that we look at at all


class SignIn(Page, LoginHandler):  # type: ignore[misc] # JupyterHub has no types
    """Name and password; where to go next goes through JupyterHub's own checker."""

    def _render(
        self, login_error: str | None = None, username: str | None = None, **more: Any
    ) -> str | Awaitable[str]:
        # not async: LoginHandler also calls it from `write_error`, which cannot wait
        beginning = self.authenticator.provider(self.hub.base_url).begin(
            self.get_argument("next", "")
        )
        html: str | Awaitable[str] = self.render_template(
            "login.html",
            login_error=login_error,
            username=(username or "")[:_SHOWN],
            begin_url=beginning.url,
            product=self.authenticator.deployment.name,
            sign_in_assets=self.sign_in_assets,
            **more,
        )
        return html

    async def post(self) -> None:
        """Sign in, or show the form again with what was wrong and the name as typed."""
        data = {name: self.body_field(name, _READ) for name in ("username", "password")}
        try:
            user = await self.login_user(data)
            if user is None:  # a name that JupyterHub's own configuration blocks
                raise NotAllowed("You may not sign in here.", hint="Ask an administrator.")
        except PetriHubError as refused:
            self.answer_status(refused)
            html = self._render(refused.jupyterhub_message, data["username"])
            self.finish(html if isinstance(html, str) else await html)
            return
        self._jupyterhub_user = user
        self.redirect(self.get_next_url(user, default=self.home_url), status=303)
