"""Writing a file so that a reader, and a full disk, find all of it or none."""

import os
from pathlib import Path


def write_whole(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Put the file in place in one go; after an error, what was there before is there still.

    `mode` is for a file that only some may read; one that is replaced keeps its own.
    """
    path = path.resolve()  # a link stays one
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
            if path.exists():
                os.fchmod(file.fileno(), path.stat().st_mode)
            file.write(text)
        fresh.rename(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
