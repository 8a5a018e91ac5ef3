"""Where the pages' files are, and the handler that serves the static ones."""

from pathlib import Path
from typing import Any

from tornado.web import HTTPError, StaticFileHandler

_HERE = Path(__file__).resolve().parent
TEMPLATES = _HERE / "templates"
STATIC = _HERE / "static"

_SERVED = frozenset({".css", ".js", ".svg"})
_A_YEAR = 365 * 24 * 3600


class AssetHandler(StaticFileHandler):
    """Serves the files of `static/` and nothing else; no sign-in, no cookies."""

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        """The checked path; 404 for what is not a page asset, even if it lies in the folder."""
        path = Path(absolute_path)
        try:
            inside = path.resolve().is_relative_to(Path(root).resolve())
        except ValueError as exc:  # a NUL in the address
            raise HTTPError(404) from exc
        if not inside or path.suffix not in _SERVED or not path.is_file():
            raise HTTPError(404)
        return super().validate_absolute_path(root, absolute_path)

    def set_extra_headers(self, path: str) -> None:
        """Keep for a year what was asked for by version; ask again for the rest (ETag answers)."""
        self.set_header("X-Content-Type-Options", "nosniff")
        if self.get_argument("v", ""):
            self.set_header("Cache-Control", f"public, max-age={_A_YEAR}, immutable")
        else:
            self.set_header("Cache-Control", "no-cache")


def template_paths() -> list[str]:
    """Folders for `JupyterHub.template_paths`."""
    return [str(TEMPLATES)]


def static_handlers() -> list[tuple[str, type[AssetHandler], dict[str, Any]]]:
    """Rows for `JupyterHub.extra_handlers`: our assets below `<hub>/petrihub/static/`."""
    return [(r"/petrihub/static/(.*)", AssetHandler, {"path": str(STATIC)})]
