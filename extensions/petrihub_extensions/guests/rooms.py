"""Where real-time collaboration keeps what it needs while this server runs, and only so long."""

from __future__ import annotations

from pathlib import Path


def keep_rooms_in(folder: Path) -> None:
    """Put the histories of shared documents into `folder`, where collaboration is installed.

    The home is the same for all workspaces of a person, and two servers must not write the same
    history; what counts is the file itself, which is saved within a second of each change.
    """
    try:
        from jupyter_server_ydoc.stores import TempFileYStore
    except ImportError:
        return
    place = folder / "rooms"
    place.mkdir(mode=0o700, exist_ok=True)
    TempFileYStore.base_dir = str(place)
