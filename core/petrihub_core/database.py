"""The engine and the `session()` scope; nobody keeps a session on an object."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    NoSuchModuleError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from petrihub_core.errors import ConfigError, Unavailable
from petrihub_core.full_disk import DiskFull, is_full

_READ_ONLY = "petrihub_read_only"
_BUSY_MS = 10_000  # how long a writer waits for another one before SQLite says "locked"
_POOL_SECONDS = 10  # how long a request waits for one of this process's connections
_CONNECT_SECONDS = 10
_ANSWER_SECONDS = 60  # for one statement: a server that hangs must not hang us for ever
# SQLSTATE: connection exception, insufficient resources, operator intervention
_AWAY = ("08", "53", "57P")
_NO_ROOM = "53100"  # SQLSTATE: disk full
_MIGRATING = 0x5045545249  # the advisory lock of whoever changes the tables


def _tune_sqlite(connection: Any, _record: Any) -> None:
    # the driver must not begin transactions by itself: `_begin` does
    connection.isolation_level = None
    # FULL, not NORMAL: an acknowledged intent or audit row must survive a power cut
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_MS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _ignore_foreign_keys(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA foreign_keys=OFF")


def _begin(connection: Any) -> None:
    if connection.get_execution_options().get(_READ_ONLY):
        connection.exec_driver_sql("BEGIN")
        return
    # a transaction that reads first and writes later would otherwise fail on upgrade of its lock
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _engine(url: str) -> AsyncEngine:
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise ConfigError(
            "The database address cannot be read.", hint="See petrihub.toml."
        ) from exc
    try:
        if parsed.get_backend_name() != "sqlite":
            return _server_engine(parsed)
        engine = create_async_engine(parsed)
    except (NoSuchModuleError, ModuleNotFoundError) as exc:
        raise ConfigError(
            f"The driver for {parsed.drivername!r} databases is not installed.",
            hint="Install petrihub[postgres], or use sqlite.",
        ) from exc
    event.listen(engine.sync_engine, "connect", _tune_sqlite)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _server_engine(url: URL) -> AsyncEngine:
    limits = {"timeout": _CONNECT_SECONDS, "command_timeout": _ANSWER_SECONDS}
    engine = create_async_engine(
        url, pool_pre_ping=True, pool_timeout=_POOL_SECONDS, connect_args=limits
    )
    event.listen(engine.sync_engine, "do_connect", _connect)
    return engine


def _connect(
    dialect: DefaultDialect, _record: Any, arguments: list[Any], named: dict[str, Any]
) -> Any:
    """Connect; what the driver raises when it cannot is no error of SQLAlchemy's."""
    try:
        return dialect.connect(*arguments, **named)
    except (OSError, dialect.loaded_dbapi.Error) as exc:
        raise _out_of_reach() from exc


def _out_of_reach() -> Unavailable:
    return Unavailable(
        "The database does not answer.",
        hint="Try again in a minute; if it stays so, tell the administrator.",
    )


@contextmanager
def _in_words(url: str) -> Iterator[None]:
    """Raise `Unavailable` for a database that is busy, restarting, out of connections or room."""
    try:
        yield
    except NoConnectionFree as exc:
        raise Unavailable(
            "Too many people want something at the same moment.", hint="Try again in a minute."
        ) from exc
    except (TimeoutError, ConnectionError) as exc:  # of the driver: the server hangs, or is gone
        raise _out_of_reach() from exc
    except DBAPIError as exc:
        if _is_without_room(exc, url):
            raise DiskFull from exc
        if _is_away(exc):
            raise _out_of_reach() from exc
        raise


def _is_without_room(exc: DBAPIError, url: str) -> bool:
    """Whether the disk is full; then SQLite names whatever it could not do because of it."""
    if getattr(exc.orig, "sqlstate", "") == _NO_ROOM:
        return True
    if getattr(exc.orig, "sqlite_errorname", "") == "SQLITE_FULL":
        return True
    return isinstance(exc, OperationalError) and is_full(url)


def _is_away(exc: DBAPIError) -> bool:
    """Whether the database cannot be asked now, rather than that we asked something wrong."""
    if exc.connection_invalidated or isinstance(exc, OperationalError):
        return True
    # a server that goes down says so on connections that are still open
    return str(getattr(exc.orig, "sqlstate", "")).startswith(_AWAY)


class Database:
    """Our tables behind one engine.

    Both kinds of blocks raise `Unavailable` when the database cannot be asked.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._url = str(engine.url)
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        # SQLite has one writer at a time and no queue for the others: who waits too long is told
        # that the file is locked. Our own writers wait in line here, and hold no connection
        alone = engine.dialect.name == "sqlite"
        self._turn: asyncio.Lock | nullcontext[None] = asyncio.Lock() if alone else nullcontext()
        readers = engine.execution_options(**{_READ_ONLY: True, "postgresql_readonly": True})
        self._readers = async_sessionmaker(readers, expire_on_commit=False, autoflush=False)

    @classmethod
    def open(cls, url: str) -> "Database":
        """The database at `url`; connects on first use."""
        return cls(_engine(url))

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """One transaction: commits when the block ends, rolls back when it raises.

        A block must not open another one: on SQLite it would wait for itself.
        """
        with _in_words(self._url):
            async with self._turn, self._sessions.begin() as session:
                yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """One consistent look that changes nothing and makes no writer wait."""
        with _in_words(self._url):
            async with self._readers() as session:
                yield session

    def is_full(self) -> bool:
        """Whether there is no room left to save anything; a server says so itself when asked."""
        return is_full(self._url)

    async def close(self) -> None:
        """Give the connections back; so does the end of an `async with` block."""
        await self._engine.dispose()

    async def __aenter__(self) -> "Database":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _our_migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


Tables = Literal["none", "older", "current"]


def _state(connection: Connection) -> Tables:
    """Of which version the tables are; `ConfigError` if they are of a newer one than this."""
    script = ScriptDirectory.from_config(_our_migrations())
    found = set(MigrationContext.configure(connection).get_current_heads())
    unknown = found - {each.revision for each in script.walk_revisions()}
    if unknown:
        raise ConfigError(
            f"The database was made by a newer PetriHub (its tables are at {min(unknown)}).",
            hint="Run that version or a later one, or put back the backup from before the upgrade.",
        )
    if not found:
        return "none"
    return "current" if found == set(script.get_heads()) else "older"


async def state_of_tables(url: str) -> Tables:
    """Whether there are tables at `url`, and of this version.

    Raises `ConfigError` if they are of a newer one, `Unavailable` if the database cannot be asked.
    """
    engine = _engine(url)
    try:
        with _in_words(url):
            async with engine.connect() as connection:
                return await connection.run_sync(_state)
    finally:
        await engine.dispose()


async def migrate(url: str) -> None:
    """Bring the tables at `url` to this version; does nothing when they are.

    One transaction: whoever is interrupted leaves the tables as they were. Of several at once one
    does it and the others find it done. Raises as `state_of_tables` does.
    """
    engine = _engine(url)
    if engine.dialect.name == "sqlite":
        # a table that is made anew is dropped in between, and what points at it would go with it
        event.listen(engine.sync_engine, "connect", _ignore_foreign_keys)
    config = _our_migrations()

    def upgrade(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
        if _state(connection) != "current":
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    try:
        with _in_words(url):
            async with engine.begin() as connection:
                await connection.run_sync(upgrade)
    finally:
        await engine.dispose()


def migrate_now(url: str) -> None:
    """`migrate` for callers without a running loop."""
    asyncio.run(migrate(url))
