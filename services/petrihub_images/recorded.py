"""What two images have at a path, by the manifests that were recorded when they were built.

The format is the checkpointer's (`petrihub_sidecars.checkpointer.manifest`).
"""

import zlib
from collections.abc import Iterable

from petrihub_core.errors import Refused
from petrihub_images.layers import Member

PATH = b"usr/share/petrihub/manifest.gz"
_FORMAT = b"petrihub manifest 1"
PACKED_LIMIT = 64 * 2**20
_TEXT_LIMIT = 256 * 2**20
_WHITEOUT = b".wh."
_OPAQUE = b".wh..wh..opq"


class Recorded:
    """The recorded paths of one image; folders are taken apart when they are asked for."""

    def __init__(self, packed: bytes) -> None:
        unpacker = zlib.decompressobj(wbits=31)
        try:
            text = unpacker.decompress(packed, _TEXT_LIMIT)
        except zlib.error as exc:
            raise Refused("The image's list of its files is damaged.") from exc
        head, _, rest = text.partition(b"\n")
        if head != _FORMAT or not unpacker.eof:
            raise Refused("The image's list of its files is of an unknown format.")
        self.folders: dict[bytes, bytes] = {}
        for block in rest.split(b"\n\n"):
            folder, _, lines = block.strip(b"\n").partition(b"\n")
            self.folders[folder] = lines

    def at(self, path: bytes) -> bytes | None:
        """Kind, rights, owner and content of an absolute path, without its time; None without."""
        folder, _, name = path.rpartition(b"/")
        start = _escaped(name) + b"\t"
        for line in self.folders.get(_escaped(folder) or b"/", b"").split(b"\n"):
            if line.startswith(start):
                return _timeless(line)
        return None

    def below(self, path: bytes) -> dict[bytes, list[bytes]]:
        """The same of all that lies in a folder, by folders."""
        start = _escaped(path)
        return {
            folder: [_timeless(line) for line in lines.split(b"\n") if line]
            for folder, lines in self.folders.items()
            if folder == start or folder.startswith(start + b"/")
        }


def conflicts(members: Iterable[Member], old: Recorded, new: Recorded) -> list[dict[str, str]]:
    """The paths that a layer changes or deletes, and that differ between both images too."""
    found = []
    for member in members:
        folder, _, name = member.path.rpartition(b"/")
        if name == _OPAQUE:
            raise Refused("This checkpoint replaces whole folders, so it cannot be moved.")
        deleted = name.startswith(_WHITEOUT)
        path = b"/" + (folder + b"/" if folder else b"") + name.removeprefix(_WHITEOUT)
        if member.is_folder or not member.path:
            continue
        was, now = old.at(path), new.at(path)
        differs = was != now
        if deleted and not differs and was is not None and was.startswith(b"d"):
            differs = old.below(path) != new.below(path)
        if differs:
            found.append(
                {
                    "path": path.decode(errors="backslashreplace"),
                    "kind": "deleted" if deleted else "changed",
                    "base": "deleted" if now is None else "added" if was is None else "changed",
                }
            )
    return found


def _timeless(line: bytes) -> bytes:
    """A line without name and time: of a file built anew from the same bytes it is the same."""
    _, about, content = line.split(b"\t")
    if about.startswith(b"f"):
        about = about.rpartition(b" ")[0]
    return about + b"\t" + content


def _escaped(name: bytes) -> bytes:
    if b"\\" in name or b"\t" in name or b"\n" in name:
        return name.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n")
    return name
