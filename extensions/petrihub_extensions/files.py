"""Files of the person: a path that the browser names, and files of a type for the chooser."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from petrihub_extensions.errors import AppError, UnknownApp

MOST_FOUND = 200
MOST_LOOKED_AT = 50_000


def resolve_file(root: Path, path: str, places: Iterable[str] = ()) -> Path:
    """The file for a path below `root`, which may lead into one of `places` and nowhere else.

    Looks at the disk.
    """
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise AppError(
            "The name of this file holds control characters, which apps cannot read.",
            hint="Rename the file and open it again.",
        )
    relative = PurePosixPath(path)
    if not path or relative.is_absolute() or ".." in relative.parts:
        raise AppError(
            "This is not a file of your workspace.", hint="Choose a file in the file browser."
        )
    root = root.resolve()
    try:
        found = root.joinpath(relative).resolve(strict=True)
    except (FileNotFoundError, NotADirectoryError):
        raise UnknownApp(
            f"{relative.name} is not there any more.", hint="Refresh the file browser."
        ) from None
    except (OSError, RuntimeError) as exc:
        raise AppError(
            f"{relative.name} cannot be read ({exc.__class__.__name__}).",
            hint="Look at its permissions, or copy it.",
        ) from exc
    if not any(found.is_relative_to(each) for each in (str(root), *places)):
        raise AppError(
            f"{relative.name} is a link that leads out of your workspace.",
            hint="Copy the file into your home folder and open the copy.",
        )
    if not found.is_file():
        raise AppError(f"{relative.name} is not a file.", hint="Choose a file, not a folder.")
    return found


@dataclass(frozen=True)
class FoundFile:
    """A file for the chooser; size in bytes, modified in seconds since 1970."""

    path: str
    name: str
    size: int
    modified: float


def find_files(
    root: Path, types: Iterable[str], places: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Newest files of these types below `root`, not in hidden folders; bounded. Walks the disk.

    `places` are links in `root`, each with what it shows.
    """
    suffixes = tuple(kind.lower() for kind in types if kind.startswith("."))
    found: list[FoundFile] = []
    looked_at = 0
    for entry, relative in _everywhere(root, places):
        looked_at += 1
        if looked_at > MOST_LOOKED_AT:
            break
        if suffixes and entry.name.lower().endswith(suffixes):
            stat = entry.stat()
            found.append(FoundFile(relative, entry.name, stat.st_size, stat.st_mtime))
    found.sort(key=lambda file: file.modified, reverse=True)
    complete = looked_at <= MOST_LOOKED_AT and len(found) <= MOST_FOUND
    return {"files": [asdict(file) for file in found[:MOST_FOUND]], "complete": complete}


def _everywhere(root: Path, places: Mapping[str, str]) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Entries with their paths as people see them; places only where their link is in its place."""
    there = {name: Path(each) for name, each in places.items() if leads_to(root / name, each)}
    for name, folder in (("", root), *there.items()):
        for entry in _walk(folder):
            yield entry, (name / PurePosixPath(entry.path).relative_to(folder)).as_posix()


def leads_to(link: Path, target: str) -> bool:
    """Whether this is a link to exactly that."""
    return link.is_symlink() and os.readlink(link) == target


def _walk(root: Path) -> Iterator[os.DirEntry[str]]:
    """Regular files, nearest folders first; links are not followed."""
    waiting = [str(root)]
    for folder in waiting:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            if entry.is_dir():
                waiting.append(entry.path)
            elif entry.is_file():
                yield entry
