"""Gives the folders in which volumes are mounted to the workspace's user, without running anything.

The engine unpacks an archive into a container that was made and not yet started, in that
container's own root: a link in an image or checkpoint cannot lead it anywhere else.
"""

import io
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from posixpath import split

_USER = 1000
_MODE = 0o775


def owned_folders(paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """For each folder that holds some of `paths`, the archive to unpack there."""
    below: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        parent, name = split(path)
        below[parent].append(name)
    for parent, names in below.items():
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            for name in names:
                entry = tarfile.TarInfo(name)
                entry.type, entry.mode = tarfile.DIRTYPE, _MODE
                entry.uid = entry.gid = _USER
                archive.addfile(entry)
        yield parent, content.getvalue()
