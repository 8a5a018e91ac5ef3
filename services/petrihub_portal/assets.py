"""Style sheets, scripts and pictures: browsers keep them for as long as their version is named."""

import hashlib
from pathlib import Path

from fastapi import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from petrihub_core.web import STATIC as FRAME_STATIC

STATIC = Path(__file__).resolve().parent / "static"
_A_YEAR = 365 * 24 * 3600


def assets_version() -> str:
    """A word that changes with any of our assets."""
    digest = hashlib.sha256()
    for folder in (FRAME_STATIC, STATIC):
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


class Assets(StaticFiles):
    """A folder of assets; public, since the pages before the sign-in need them too."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file; for a year if it was asked for by version, else to be asked for again."""
        answer = await super().get_response(path, scope)
        by_version = scope.get("query_string", b"").startswith(b"v=")
        kept = f"public, max-age={_A_YEAR}, immutable" if by_version else "no-cache"
        answer.headers["Cache-Control"] = kept
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer
