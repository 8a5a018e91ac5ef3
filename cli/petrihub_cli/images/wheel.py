"""The wheel of petrihub-extensions that goes into every image; built once for each state of it."""

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path

from petrihub_cli.engine import Progress
from petrihub_cli.images.logged import last_words, run_logged
from petrihub_cli.images.recipe import Source, extensions_hash
from petrihub_cli.product import NODE
from petrihub_core.errors import Unavailable


def cache_folder() -> Path:
    """Where logs and wheels of image builds are kept between runs."""
    return Path.home() / ".cache" / "petrihub"


async def extensions_wheel(
    source: Source, *, ca_bundle: Path | None, log: Path, progress: Progress
) -> Path:
    """The wheel of the extensions as they are now; Unavailable with uv's words if it fails."""
    kept = cache_folder() / "wheels" / await asyncio.to_thread(extensions_hash, source)
    if found := _wheel_in(kept):
        return found
    progress("Building petrihub-extensions")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".new-") as folder:
        command = [_uv(), "build", "--wheel", "--out-dir", folder, str(source.extensions)]
        code = await run_logged(command, log, _environment(ca_bundle))
        wheel = _wheel_in(Path(folder))
        if code or wheel is None:
            raise Unavailable(
                f"petrihub-extensions could not be built:\n{last_words(log)}",
                hint=f"The whole log: {log}",
            )
        kept.mkdir(exist_ok=True)
        return Path(shutil.move(wheel, kept / wheel.name))


def _wheel_in(folder: Path) -> Path | None:
    return next(folder.glob("*.whl"), None)


def _environment(ca_bundle: Path | None) -> dict[str, str]:
    path = f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    # the same sources give the same bytes
    environment = {**os.environ, "PATH": path, "SOURCE_DATE_EPOCH": "1577836800"}
    if ca_bundle:
        trusted = str(ca_bundle.resolve())
        environment |= {"SSL_CERT_FILE": trusted, "NODE_EXTRA_CA_CERTS": trusted}
    return environment


def _uv() -> str:
    beside = str(Path(sys.executable).parent)
    path = os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])
    found = os.environ.get("UV") or shutil.which("uv", path=path)
    if not found:
        raise Unavailable(
            "The tool uv is not installed.", hint="Run scripts/up once, or: pip install uv"
        )
    return found
