"""Which packages of Python, R, conda and Debian were added, removed or replaced.

What the image had is read from the names in its manifest, what is there now from the package
managers' own records: a distribution's METADATA, an R package's DESCRIPTION, the files of
conda-meta, Debian's status. Nothing is run.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from petrihub_sidecars.checkpointer.compare import ADDED, CHANGED, DELETED, Changes
from petrihub_sidecars.checkpointer.manifest import Manifest
from petrihub_sidecars.checkpointer.tree import Opener

LISTED = 2000
UNKNOWN = ""  # a version that nobody wrote down

_HEAD = 64 * 2**10  # bytes of a record that are read: name and version stand at its begin
_STATUS_LIMIT = 32 * 2**20
_STATUS, _STATUS_BEFORE = b"/var/lib/dpkg/status", b"/var/lib/dpkg/status-old"
_DPKG_INFO = b"/var/lib/dpkg/info"
_DIST_INFO = re.compile(rb"(?s)(.*)/([^/-]+)-([^/-]+)(?:-py[0-9.]+)?\.(?:dist|egg)-info")
_CONDA = re.compile(rb"(?s)(.*/conda-meta)/([^/]+)-([^/-]+)-[^/-]+\.json")
_FIELD = re.compile(r"^(Name|Package|Version|Status|Built): *(\S.*?)\s*$", re.MULTILINE)
_SEPARATORS = re.compile(r"[-_.]+")

Key = tuple[str, bytes, str]  # kind, folder that holds it, name


@dataclass
class _Found:
    """Versions by kind, place and name; `names` is how a package writes its own."""

    before: dict[Key, str] = field(default_factory=dict)
    after: dict[Key, str] = field(default_factory=dict)
    gone: set[Key] = field(default_factory=set)
    names: dict[Key, str] = field(default_factory=dict)


def changed_packages(opener: Opener, changes: Changes, manifest: Manifest) -> list[dict[str, Any]]:
    """Kind, name, and the version before and after: None where it is not, "" if nobody knows it."""
    found = _Found()
    for key, version in _recorded(manifest):
        found.before[key] = version
    deleted = {item.path for item in changes.items if item.kind == DELETED}
    touched = {item.path for item in changes.items if item.kind in (ADDED, CHANGED)}
    for path in touched:
        _look(opener, path, found)
    for key in found.before:
        if _is_gone(key, found, deleted):
            found.gone.add(key)
    _fill_in_r(opener, found, touched)
    rows = [*_rows(found), *_debian(opener, manifest, touched, deleted)]
    return sorted(rows, key=lambda row: (row["kind"], row["name"].lower()))[:LISTED]


def _recorded(manifest: Manifest) -> Iterator[tuple[Key, str]]:
    """The packages that the image came with, by what its folders are called."""
    for folder in manifest.folders():
        if match := _DIST_INFO.fullmatch(folder):
            yield ("python", match[1], _plain(_text(match[2]))), _text(match[3])
        elif folder.endswith(b"/Meta") and b"DESCRIPTION" in manifest.entries(folder[:-5]):
            place, _, name = folder[:-5].rpartition(b"/")
            yield ("r", place, _text(name)), UNKNOWN
        elif folder.endswith(b"/conda-meta"):
            for name in manifest.entries(folder):
                if match := _CONDA.fullmatch(folder + b"/" + name):
                    yield ("conda", folder, _text(match[2])), _text(match[3])


def _look(opener: Opener, path: bytes, found: _Found) -> None:
    """Take in a new or changed file, if it is a package's record."""
    folder, _, name = path.rpartition(b"/")
    if name in (b"METADATA", b"PKG-INFO") and folder.endswith((b".dist-info", b".egg-info")):
        place, kind = folder.rpartition(b"/")[0], "python"
    elif name == b"DESCRIPTION":
        place, kind = folder.rpartition(b"/")[0], "r"
    elif match := _CONDA.fullmatch(path):
        key = ("conda", match[1], _text(match[2]))
        found.after[key], found.names[key] = _text(match[3]), key[2]
        return
    else:
        return
    about = _fields(_text(_read(opener, path, _HEAD)).partition("\n\n")[0])
    said = about.get("Name" if kind == "python" else "Package", "")
    version = about.get("Version", "")
    if not said or not version or (kind == "r" and "Built" not in about):
        return  # not of an installed package
    key = (kind, place, _plain(said) if kind == "python" else said)
    found.after[key], found.names[key] = version[:100], said[:200]


def _is_gone(key: Key, found: _Found, deleted: set[bytes]) -> bool:
    if key in found.after or not deleted:
        return False
    kind, place, name = key
    folder = place
    while folder:
        if folder in deleted:
            return True
        folder = folder.rpartition(b"/")[0]
    if kind == "r":
        return place + b"/" + os.fsencode(name) in deleted
    version = os.fsencode(found.before[key])
    if kind == "conda":
        start = place + b"/" + os.fsencode(name) + b"-" + version + b"-"
        return any(path.startswith(start) for path in deleted)
    return any(
        match[1] == place and _plain(_text(match[2])) == name and match[3] == version
        for path in deleted
        if (match := _DIST_INFO.fullmatch(path))
    )


def _fill_in_r(opener: Opener, found: _Found, touched: set[bytes]) -> None:
    """The versions of R packages of the image that are still as they were."""
    wanted = {name for kind, _, name in found.after if kind == "r"}
    for kind, place, name in found.before:
        path = place + b"/" + os.fsencode(name) + b"/DESCRIPTION"
        if kind == "r" and name in wanted and path not in touched:
            about = _fields(_text(_read(opener, path, _HEAD)))
            found.before[kind, place, name] = about.get("Version", UNKNOWN)[:100]


def _rows(found: _Found) -> Iterator[dict[str, Any]]:
    elsewhere: dict[tuple[str, str], str] = {}
    for (kind, _, name), version in sorted(found.before.items()):
        elsewhere[kind, name] = version
    for key in found.after.keys() | found.gone:
        kind, _, name = key
        after = found.after.get(key)
        before = found.before.get(key)
        if before is None and after is not None:
            before = elsewhere.get((kind, name))  # the new one is found first
        if before != after:
            shown = found.names.get(key, name)
            yield {"kind": kind, "name": shown, "before": before, "after": after}


def _debian(
    opener: Opener, manifest: Manifest, touched: set[bytes], deleted: set[bytes]
) -> Iterator[dict[str, Any]]:
    if _STATUS not in touched:
        return
    now = _status(_text(_read(opener, _STATUS, _STATUS_LIMIT)))
    old = _read(opener, _STATUS_BEFORE, _STATUS_LIMIT)
    recorded = manifest.entries(b"/var/lib/dpkg").get(b"status", (b"", b""))[1]
    exact = hashlib.sha256(old).hexdigest().encode() == recorded
    listed = {
        _text(name.removesuffix(b".list")).partition(":")[0]
        for name in manifest.entries(_DPKG_INFO)
        if name.endswith(b".list")
    }
    before = _status(_text(old)) if exact else dict.fromkeys(listed, UNKNOWN)
    again = {
        _text(path.rpartition(b"/")[2].removesuffix(b".list")).partition(":")[0]
        for path in touched | deleted
        if path.startswith(_DPKG_INFO + b"/") and path.endswith(b".list")
    }
    for name in now.keys() | before.keys():
        was, has = before.get(name), now.get(name)
        if was != has and (was != UNKNOWN or has is None or name in again):
            yield {"kind": "debian", "name": name, "before": was, "after": has}


def _status(text: str) -> dict[str, str]:
    """The installed packages of Debian's list, with their versions."""
    found = {}
    for block in text.split("\n\n"):
        about = _fields(block)
        if about.get("Status", "").endswith(" installed") and "Package" in about:
            found[about["Package"][:200]] = about.get("Version", UNKNOWN)[:100]
    return found


def _fields(block: str) -> dict[str, str]:
    return {match[1]: match[2] for match in _FIELD.finditer(block)}


def _read(opener: Opener, path: bytes, limit: int) -> bytes:
    """The begin of a file; empty if it went or cannot be read."""
    try:
        fd = opener.open(path)
    except OSError:
        return b""
    try:
        with open(fd, "rb", closefd=False) as file:
            return file.read(limit)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _plain(name: str) -> str:
    """The name of a distribution, however it is written."""
    return _SEPARATORS.sub("-", name).lower()


def _text(name: bytes) -> str:
    """Readable, and fit for JSON, whatever it is."""
    return name.decode(errors="replace")
