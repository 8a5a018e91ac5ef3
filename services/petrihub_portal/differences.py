"""What differs: between a checkpoint and its base, and between two checkpoints. Pure but `of`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoint_share_records import CheckpointPackages

LISTED = 1000  # changed files that are kept by name
KINDS = {"python": "Python", "r": "R", "conda": "conda", "debian": "Debian"}


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package that differs. `before` and `after` are versions; None: it is not there.

    They are empty where nobody knows the version.
    """

    kind: str
    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that differs: added, changed or deleted, with its size in bytes afterwards."""

    path: str
    kind: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Differences:
    """Packages and files; `whole` is False where not all files are known by name.

    `recorded` is False for what was saved before packages were looked at.
    """

    packages: list[Package]
    files: list[File]
    whole: bool
    recorded: bool = True


async def of(session: AsyncSession, row: Checkpoint) -> Differences:
    """How a checkpoint differs from the image below it."""
    kept = await session.get(CheckpointPackages, row.id)
    return Differences(
        packages=[Package(**each) for each in (kept.packages if kept else ())],
        files=[File(**each) for each in row.changes],
        whole=len(row.changes) < LISTED,
        recorded=kept is not None,
    )


def between(first: Differences, second: Differences) -> Differences:
    """How the second differs from the first; both stand on the same base.

    Files that both have changed to the same size count as the same: their content is not known
    here.
    """
    return Differences(
        packages=_packages(first.packages, second.packages),
        files=_files(first.files, second.files),
        whole=first.whole and second.whole,
        recorded=first.recorded and second.recorded,
    )


def _packages(first: Sequence[Package], second: Sequence[Package]) -> list[Package]:
    one = {(each.kind, each.name): each for each in first}
    two = {(each.kind, each.name): each for each in second}
    found = []
    for key in sorted(one.keys() | two.keys(), key=lambda key: (key[0], key[1].lower())):
        # what one of them does not name is there as in the base
        base = (one.get(key) or two[key]).before
        before = one[key].after if key in one else base
        after = two[key].after if key in two else base
        if before != after:
            found.append(Package(kind=key[0], name=key[1], before=before, after=after))
    return found


def _files(first: Sequence[File], second: Sequence[File]) -> list[File]:
    one: Mapping[str, Any] = {each.path: each for each in first}
    two: Mapping[str, Any] = {each.path: each for each in second}
    found = []
    for path in sorted(one.keys() | two.keys()):
        was, now = one.get(path), two.get(path)
        if kind := _kind(was, now):
            size = now.size if now is not None and kind != "deleted" else 0
            found.append(File(path=path, kind=kind, size=size))
    return found


def _kind(was: File | None, now: File | None) -> str:
    """Of a path that one of two checkpoints has changed; empty if it is the same in both."""
    was_there = was.kind != "deleted" if was else now is not None and now.kind != "added"
    is_there = now.kind != "deleted" if now else was is not None and was.kind != "added"
    if was_there != is_there:
        return "added" if is_there else "deleted"
    if not is_there:
        return ""
    return "changed" if was is None or now is None or was.size != now.size else ""
