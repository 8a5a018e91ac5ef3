"""A copy of a PostgreSQL database through pg_dump, read back to its last row before it counts."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from petrihub_core.errors import Refused, Unavailable

_COPY = re.compile(rb"COPY public\.(\S+) \(.*\) FROM stdin;\n")
# an entry of pg_restore --list: number, two ids, then what it is
_TABLES_ONLY = re.compile(
    r"\d+; \d+ \d+ (TABLE|TABLE DATA|DEFAULT|INDEX|CONSTRAINT|FK CONSTRAINT|SEQUENCE"
    r"|SEQUENCE SET|SEQUENCE OWNED BY|TYPE) (public|-) "
)
_END = b"\\.\n"
_TABLES = text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")


def copy(url: URL, target: Path) -> dict[str, int]:
    """Dump the database in use at `url` to the new file `target`; rows by table.

    Raises `Unavailable` if it cannot be read, or if the copy is not what was copied.
    """
    try:
        with _connection(url) as connection:
            # one moment for rows and dump, whoever writes meanwhile
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            moment = connection.scalar(text("SELECT pg_export_snapshot()"))
            rows = _rows(connection)
            _run(
                url,
                *("pg_dump", "--format=custom", "--no-owner", "--lock-wait-timeout=60s"),
                *(f"--snapshot={moment}", f"--file={target}"),
                *("--dbname", url.database or ""),
            )
    except DBAPIError as exc:
        raise _out_of_reach(url) from exc
    found = _rows_in(target)
    if found != rows:
        raise Unavailable(
            f"The copy {target} is not what the database held.",
            hint="Nothing was changed. Look at the disk, then try again.",
        )
    return rows


def put_back(source: Path, url: URL, rows: dict[str, int]) -> None:
    """Fill the empty database at `url` from the dump `source`, which shall hold `rows`.

    One transaction: raises `Unavailable` and leaves it empty if that fails, `Refused` if there is
    more than tables in the dump: what runs by itself could make an administrator later.
    """
    for entry in _run(url, "pg_restore", "--list", str(source)).splitlines():
        if not entry.startswith(";") and not _TABLES_ONLY.match(entry):
            raise Refused(
                f"The copy {source.name} holds more than tables: {entry[:80]!r}.",
                hint="Nothing was changed. Take another backup.",
            )
    _run(
        url,
        *("pg_restore", "--no-owner", "--single-transaction", "--exit-on-error"),
        *("--dbname", url.database or "", str(source)),
    )
    with _connection(url) as connection:
        if _rows(connection) != rows:
            raise Unavailable(f"The database {url.database} does not hold what {source} says.")


def tables(url: URL) -> list[str]:
    """The tables in the database at `url`; raises `Unavailable` if it cannot be asked."""
    try:
        with _connection(url) as connection:
            return list(connection.scalars(_TABLES))
    except DBAPIError as exc:
        raise _out_of_reach(url) from exc


def plain(url: URL) -> URL:
    """The same address, for a driver without a loop of its own."""
    return url.set(drivername="postgresql+psycopg")


def _connection(url: URL) -> Connection:
    return create_engine(plain(url), poolclass=NullPool).connect()


def _out_of_reach(url: URL) -> Unavailable:
    return Unavailable(
        f"The database {url.database} does not answer.", hint="Is PostgreSQL running?"
    )


def _rows(connection: Connection) -> dict[str, int]:
    counts = {}
    for name in connection.scalars(_TABLES).all():
        quoted = connection.dialect.identifier_preparer.quote(name)
        counts[name] = int(connection.scalar(text(f"SELECT count(*) FROM {quoted}")) or 0)  # noqa: S608 - the name is out of the database's own list
    return counts


def _rows_in(dump: Path) -> dict[str, int]:
    """Read the whole dump as pg_restore understands it; rows by table."""
    command = [_program("pg_restore"), "--data-only", "--file=-", str(dump)]
    counts: dict[str, int] = {}
    table = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reader:
        for line in reader.stdout or ():
            if table and line == _END:
                table = ""
            elif table:
                counts[table] += 1
            elif begun := _COPY.fullmatch(line):
                table = begun[1].decode().strip('"')
                counts[table] = 0
    return counts if reader.returncode == 0 else {}


def _run(url: URL, program: str, *arguments: str) -> str:
    named = {
        "PGHOST": url.query.get("host") or url.host,
        "PGPORT": url.port,
        "PGUSER": url.username,
    }
    environment = {
        **os.environ,
        **{key: str(value) for key, value in named.items() if value},
        "PGPASSWORD": str(url.password or ""),
    }
    done = subprocess.run(
        [_program(program), *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable(
            f"{program} failed: {done.stderr.strip()[-500:]}",
            hint="Nothing was changed. Correct the cause, then try again.",
        )
    return done.stdout


def _program(name: str) -> str:
    # Debian puts the newest version's programs behind names on PATH, others keep them apart
    apart = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name) or (str(apart[-1]) if apart else "")
    if not found:
        raise Unavailable(
            f"{name} is not installed here, and PostgreSQL is copied with it.",
            hint="Run: sudo apt-get install postgresql-client. On a server with compose: "
            "docker-compose exec hub petrihub backup",
        )
    return found
