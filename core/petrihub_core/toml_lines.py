"""On which line of a TOML file a setting stands; for error messages only.

`tomllib` keeps no positions. This looks at table headers and keys line by line, which is exact for
files laid out as ours are and at worst names the line of the table.
"""

import re
from collections import Counter
from collections.abc import Sequence

_HEADER = re.compile(r"^\s*(\[\[?)\s*([A-Za-z0-9_.\-\"' ]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\-\"'.]+)\s*=")


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def line_of(text: str, location: Sequence[int | str]) -> int | None:
    """The 1-based line of `location` (keys and list positions); None if it is not written there."""
    wanted = tuple(location)
    seen: Counter[tuple[str, ...]] = Counter()
    table: tuple[int | str, ...] = ()
    best: int | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            names = _parts(header[2])
            table = names
            if header[1] == "[[":
                table = (*names, seen[names])
                seen[names] += 1
            if table and wanted[: len(table)] == table:
                best = number
        elif key := _KEY.match(line):
            here = (*table, *_parts(key[1]))
            if wanted[: len(here)] == here:
                return number
    return best
