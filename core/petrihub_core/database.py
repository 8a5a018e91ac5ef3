"""The engine and the `session()` scope; nobody keeps a session on an object."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from petrihub_core.errors import ConfigError

_READ_ONLY = "petrihub_read_only"
_BUSY_MS = 10_000  # how long a writer waits for another one before SQLite says "locked"


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
            return create_async_engine(parsed, pool_pre_ping=True)
        engine = create_async_engine(parsed)
    except (NoSuchModuleError, ModuleNotFoundError) as exc:
        raise ConfigError(
            f"The driver for {parsed.drivername!r} databases is not installed.",
            hint="Install petrihub[postgres], or use sqlite.",
        ) from exc
    event.listen(engine.sync_engine, "connect", _tune_sqlite)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


class Database:
    """Our tables behind one engine."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        readers = engine.execution_options(**{_READ_ONLY: True, "postgresql_readonly": True})
        self._readers = async_sessionmaker(readers, expire_on_commit=False, autoflush=False)

    @classmethod
    def open(cls, url: str) -> "Database":
        """The database at `url`; connects on first use."""
        return cls(_engine(url))

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """One transaction: commits when the block ends, rolls back when it raises."""
        async with self._sessions.begin() as session:
            yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """One consistent look that changes nothing and makes no writer wait."""
        async with self._readers() as session:
            yield session

    async def close(self) -> None:
        """Give the connections back."""
        await self._engine.dispose()


async def migrate(url: str) -> None:
    """Bring the tables at `url` to this version; does nothing when they are."""
    engine = _engine(url)
    if engine.dialect.name == "sqlite":
        # a table that is made anew is dropped in between, and what points at it would go with it
        event.listen(engine.sync_engine, "connect", _ignore_foreign_keys)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    try:
        async with engine.begin() as connection:

            def upgrade(sync_connection: Any) -> None:
                config.attributes["connection"] = sync_connection
                command.upgrade(config, "head")

            await connection.run_sync(upgrade)
    finally:
        await engine.dispose()


def migrate_now(url: str) -> None:
    """`migrate` for callers without a running loop."""
    asyncio.run(migrate(url))
