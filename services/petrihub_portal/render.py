"""Pages from templates: the frame is the hub's own, so that both look like one product."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from petrihub_core.web import template_paths
from petrihub_portal.assets import assets_version

_HERE = Path(__file__).resolve().parent

# img data: for the frame's own icons; nothing inline, nothing from elsewhere
_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Renderer:
    """The portal's Jinja environment; autoescape is always on, an unknown name is an error.

    `workspaces` are the origins, if not ours, to which the redirect after a form may lead.
    """

    def __init__(
        self, prefix: str, hub_prefix: str, words: Mapping[str, Any], workspaces: str = ""
    ) -> None:
        self._headers = {**_HEADERS, "Content-Security-Policy": f"{_POLICY} {workspaces}".strip()}
        self._environment = Environment(
            loader=FileSystemLoader([_HERE / "templates", *template_paths()]),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            base_url=hub_prefix,
            ph_static=f"{prefix}static/frame/",
            static_url=lambda path: f"{prefix}static/hub/{path}",
            version_hash=assets_version(),
            logout_url=f"{prefix}sign-out",
            login_url=f"{prefix}sign-in",
            prefix="/",
            **words,
        )

    def text(self, template: str, values: Mapping[str, Any]) -> str:
        """The template as text."""
        return self._environment.get_template(template).render(values)

    def html(self, template: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
        """The template as an answer with our headers."""
        return HTMLResponse(self.text(template, values), status_code=status, headers=self._headers)
