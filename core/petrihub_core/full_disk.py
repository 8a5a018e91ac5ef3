"""A disk that is full under a database: what is there can be read, and nothing is saved."""

import shutil
from functools import lru_cache
from pathlib import Path

from sqlalchemy.engine import make_url

from petrihub_core.errors import Unavailable

# below this nothing is begun any more, so that what was begun, and the hub, can still write a row
LEAST_FREE = 16 * 2**20  # bytes


class DiskFull(Unavailable):
    """There is no room to save anything."""

    def __init__(self) -> None:
        super().__init__(
            "The disk is full: nothing is saved until space is freed.",
            hint="What is there can be read. Tell the administrator.",
        )


def is_full(url: str) -> bool:
    """Whether the disk of this database is as good as full; False where a server keeps it."""
    folder = _folder(url)
    return folder is not None and shutil.disk_usage(folder).free < LEAST_FREE


@lru_cache(maxsize=8)
def _folder(url: str) -> Path | None:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return Path(parsed.database).parent
