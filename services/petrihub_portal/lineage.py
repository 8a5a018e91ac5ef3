"""What was made from what: a person's checkpoints as a tree, flat enough for a narrow screen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from petrihub_core.checkpoint_records import Checkpoint

_DEEPEST = 6  # steps that a row moves to the right


@dataclass(frozen=True, kw_only=True)
class Node:
    """One row, after the one it was made from. `depth` grows only where a line forks.

    `sharer` is whose it is, if not one's own; `unseen` says that it was made from something that
    is not shared with the person (any more).
    """

    row: Checkpoint
    depth: int
    parent: str
    sharer: str
    unseen: bool


def lineage(rows: Sequence[Checkpoint], sharers: Mapping[str, str]) -> list[Node]:
    """The rows as a tree, each line from old to new, the line with the newest one first."""
    known = {each.id: each for each in rows}
    children: dict[str, list[Checkpoint]] = {}
    roots = []
    for each in sorted(rows, key=lambda row: (row.created_at, row.sequence)):
        if each.parent_id in known:
            children.setdefault(str(each.parent_id), []).append(each)
        else:
            roots.append(each)
    found: list[Node] = []
    waiting = [(each, 0) for each in sorted(roots, key=lambda row: _newest(row, children))]
    while waiting:
        row, depth = waiting.pop()
        parent = known.get(row.parent_id or "")
        found.append(
            Node(
                row=row,
                depth=min(depth, _DEEPEST),
                parent=parent.name if parent else "",
                sharer=sharers.get(row.id, ""),
                unseen=row.parent_id is not None and parent is None,
            )
        )
        below = children.get(row.id, [])
        # the newest goes on in the same line, under the forks that lead away from it
        waiting += [(each, depth + (each is not below[-1])) for each in reversed(below)]
    return found


def _newest(row: Checkpoint, children: Mapping[str, list[Checkpoint]]) -> float:
    """When the newest checkpoint of a tree was made."""
    newest, waiting = row.created_at, [row]
    while waiting:
        each = waiting.pop()
        newest = max(newest, each.created_at)
        waiting += children.get(each.id, [])
    return newest.timestamp()
