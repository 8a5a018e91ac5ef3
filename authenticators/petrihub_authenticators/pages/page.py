"""What all our hub pages share: strict headers, errors in words."""

from typing import Any

from jupyterhub.handlers.base import BaseHandler
from jupyterhub.utils import url_path_join
from tornado import web

from petrihub_core.errors import PetriHubError, Throttled

# no form-action: with an origin per person, the redirect after sign-in leads to another origin
_POLICY = (
    "default-src 'self'",
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'self'",
    "frame-ancestors 'none'",
)


class PageRefused(web.HTTPError):
    """An error that JupyterHub's error page shows with these words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(status)
        self.jupyterhub_message = words


class Page(BaseHandler):  # type: ignore[misc] # JupyterHub has no types
    """A page of ours; signed-in state and XSRF are JupyterHub's."""

    @property
    def content_security_policy(self) -> str:
        """Own origin only, no inline scripts or styles."""
        return "; ".join((*_POLICY, f"report-uri {self.csp_report_uri}"))

    def set_default_headers(self) -> None:
        """JupyterHub's headers, and none of our pages in a cache or a referrer."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", self.content_security_policy)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("X-Content-Type-Options", "nosniff")

    def check_xsrf_cookie(self) -> None:
        """JupyterHub's check, refused in words that say what to do."""
        try:
            super().check_xsrf_cookie()
        except web.HTTPError as exc:
            raise PageRefused(
                403,
                "This page was open for too long, or the form came from somewhere else. "
                "Reload the page, then try again.",
            ) from exc

    @property
    def sign_in_assets(self) -> str:
        """Where our scripts are served."""
        return str(url_path_join(self.hub.base_url, "petrihub/sign-in/static"))

    @property
    def home_url(self) -> str:
        """Where somebody lands who asked for nothing else."""
        return str(url_path_join(self.hub.base_url, "home"))

    def body_field(self, name: str, limit: int = 256) -> str:
        """A field of the form, cut at `limit` characters; empty if there is none."""
        return str(self.get_body_argument(name, "", strip=False))[:limit]

    def answer_status(self, refused: PetriHubError) -> None:
        """Set the status that belongs to this error, and when to come back."""
        self.set_status(refused.status)
        if isinstance(refused, Throttled):
            self.set_header("Retry-After", str(refused.retry_after))

    async def show(self, template: str, **values: Any) -> None:
        """Answer with this template."""
        html = await self.render_template(
            template,
            product=self.authenticator.deployment.name,
            sign_in_assets=self.sign_in_assets,
            **values,
        )
        self.finish(html)
