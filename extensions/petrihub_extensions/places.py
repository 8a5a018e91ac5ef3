"""Links in the home to the places that are mounted elsewhere: `Shared/<group>` and `Public`.

The file browser shows the home, so this is the way to them. Links are ours as long as they point
below `/mnt`; anything else of the same name is the person's own and stays as it is.
"""

from __future__ import annotations

import json
import os
from logging import Logger
from pathlib import Path, PurePosixPath

from petrihub_extensions.files import leads_to

VARIABLE = "PETRIHUB_PLACES"
_OURS = ("/mnt/shared/", "/mnt/public")


def mounted() -> dict[str, str]:
    """What this workspace has mounted: paths in the home, and what they show."""
    try:
        said = json.loads(os.environ.get(VARIABLE) or "{}")
    except ValueError:
        return {}
    if not isinstance(said, dict):
        return {}
    return {
        name: target
        for name, target in said.items()
        if isinstance(target, str) and _inside(name) and target.startswith(_OURS)
    }


def link_places(home: Path, log: Logger) -> None:
    """Brings the links in step with what is mounted, where places are known at all."""
    if VARIABLE not in os.environ:
        return
    wanted = mounted()
    try:
        _forget_others(home, wanted)
        for name, target in wanted.items():
            _link(home / name, target, log)
    except OSError as exc:
        # a full disk must not keep anybody out of their workspace
        log.warning("petrihub: the links to shared folders could not be written: %s", exc)


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and 1 <= len(path.parts) <= 2


def _ours(path: Path) -> bool:
    return path.is_symlink() and os.readlink(path).startswith(_OURS)


def _forget_others(home: Path, wanted: dict[str, str]) -> None:
    """Removes links of ours to what is not there any more, and the folder if it is empty then."""
    folder = home / "Shared"
    candidates = [home / "Public"]
    if folder.is_dir() and not folder.is_symlink():
        candidates += folder.iterdir()
    removed = False
    for path in candidates:
        if _ours(path) and str(path.relative_to(home)) not in wanted:
            path.unlink()
            removed = True
    if removed and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _link(path: Path, target: str, log: Logger) -> None:
    if leads_to(path, target):
        return
    if path.parent.is_symlink() or (path.parent.exists() and not path.parent.is_dir()):
        log.warning("petrihub: %s is your own, so %s is only at %s", path.parent, path.name, target)
        return
    if path.is_symlink() or path.exists():
        if not _ours(path):
            log.warning("petrihub: %s is your own, so its namesake is only at %s", path, target)
            return
        path.unlink()
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target, target_is_directory=True)
