"""The Welcome folder: put into a home once, so that who deletes it has deleted it."""

from __future__ import annotations

import os
import shutil
import tempfile
from logging import Logger
from pathlib import Path

from jupyter_core.paths import jupyter_data_dir

SOURCE = "/usr/local/share/petrihub/welcome"


def source() -> Path:
    """Where the welcome files are: in the image, or where $PETRIHUB_WELCOME says."""
    return Path(os.environ.get("PETRIHUB_WELCOME", SOURCE))


def put_welcome(home: Path, log: Logger) -> None:
    """Copies the welcome files of the image (or $PETRIHUB_WELCOME) to `Welcome`, only once."""
    files = source()
    target = home / "Welcome"
    mark = Path(jupyter_data_dir()) / "petrihub-welcomed"
    if mark.exists() or not files.is_dir():
        return
    try:
        if not target.exists():
            with tempfile.TemporaryDirectory(prefix=".welcome-", dir=home) as folder:
                copy = shutil.copytree(files, Path(folder) / "copy")
                copy.rename(target)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as exc:
        # a full disk must not keep anybody out of their workspace
        log.warning("petrihub: the Welcome folder could not be written: %s", exc)
