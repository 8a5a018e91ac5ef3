"""Our scripts, served by the hub under its own prefix."""

from pathlib import Path

from tornado.web import StaticFileHandler

STATIC = Path(__file__).parents[1] / "static"


class Asset(StaticFileHandler):
    """One file of `static/`; public, since the sign-in page needs it."""

    def check_xsrf_cookie(self) -> None:
        """Nothing here changes state: the handler answers GET and HEAD only."""

    def set_default_headers(self) -> None:
        """Scripts are scripts, whatever a browser makes of their content."""
        self.set_header("X-Content-Type-Options", "nosniff")

    def get_cache_time(self, path: str, modified: object, mime_type: str) -> int:
        """No age: browsers ask each time and get a 304, so that an upgrade shows at once."""
        return 0

    def set_extra_headers(self, path: str) -> None:
        """Ask again each time."""
        self.set_header("Cache-Control", "no-cache")
