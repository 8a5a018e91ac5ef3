"""A copy of an SQLite database through SQLite's own backup, read back before it counts."""

import sqlite3
from contextlib import closing
from pathlib import Path

from petrihub_core.errors import Refused, Unavailable


def copy(source: Path, target: Path) -> dict[str, int]:
    """Copy the database in use at `source` to the new file `target`; rows by table.

    Raises `Unavailable` if it cannot be read, or if the copy is not what was copied.
    """
    try:
        with closing(sqlite3.connect(source, timeout=60, isolation_level=None)) as connection:
            connection.execute("BEGIN")  # rows and copy are of one moment, whoever writes meanwhile
            rows = _rows(connection)
            with closing(sqlite3.connect(target)) as fresh:
                connection.backup(fresh)
                # a copy is one file: nobody needs to know about a log beside it
                fresh.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as exc:
        raise Unavailable(
            f"The database {source} could not be copied: {exc}.", hint="Is the disk full?"
        ) from exc
    _check(target, rows)
    return rows


def check_foreign(path: Path, rows: dict[str, int]) -> None:
    """Raise unless the copy at `path` is whole, holds `rows`, and nothing but tables.

    What runs by itself, such as a trigger, could make an administrator long after it was looked at.
    """
    _check(path, rows)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        found = connection.execute(
            "SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index')"
            " OR sql LIKE 'CREATE VIRTUAL%'"
        ).fetchone()
    if found is not None:
        raise Refused(
            f"The copy {path.name} holds more than tables: {found[0][:80]!r}.",
            hint="Nothing was changed. Take another backup.",
        )


def _check(path: Path, expected: dict[str, int]) -> None:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
            found = _rows(connection)
    except sqlite3.Error as exc:
        verdict, found = str(exc), {}
    if verdict != "ok" or found != expected:
        raise Unavailable(
            f"The copy {path} is not what the database held: {verdict}.",
            hint="Nothing was changed. Look at the disk, then try again.",
        )


def _rows(connection: sqlite3.Connection) -> dict[str, int]:
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    return {
        name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608 - the name is out of the database's own list
        for (name,) in sorted(names)
    }
