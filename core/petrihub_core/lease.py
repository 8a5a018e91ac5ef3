"""At most one hub at work on one PostgreSQL, also when an old one wakes up after its successor.

The hub at work holds an advisory lock on a connection of its own and uses that connection every few
seconds. Whoever gets the lock gets the next number, writes it into every database, and only then
ends the connections of the hubs before it. Every connection that a hub opens begins by comparing
its number with the one in the database. So a hub that slept through a takeover has no connection
left and gets no new one: the lock alone would not keep it from writing.

On SQLite there is one machine, and `petrihub up` locks the state folder.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError

from petrihub_core.errors import Conflict, Unavailable
from petrihub_core.logs import get_logger

EXIT_TAKEN_OVER = 75  # sysexits.h: a temporary failure; the next start waits for its turn
_KEY = 0x4855425F31
_NAME = "petrihub-hub"
_BEAT = 5.0  # seconds between two signs of life
_SILENT = 30.0  # seconds without one after which a hub counts as hanging
_PATIENCE = 60.0  # seconds that a start waits for its turn

log = get_logger(__name__)


class TakenOver(Unavailable):
    """A later hub is at work: this process may not touch the database any more."""


class Lease:
    """The right to be the hub at work; `number` grows with every hub."""

    def __init__(self, urls: Sequence[str], on_loss: Callable[[], None]) -> None:
        """`urls` are SQLAlchemy addresses of the databases of one server, ours first."""
        self.number = 0
        self._urls = [_plain(url) for url in urls]
        self._on_loss = on_loss
        self._held = self._open(self._urls[0])

    def take(self, *, patience: float = _PATIENCE, silent: float = _SILENT) -> None:
        """Become the hub at work; `Conflict` if after `patience` seconds another one still is.

        A hub that gave no sign of life for `silent` seconds is put aside.
        """
        last_try = time.monotonic() + patience
        while not self._lock():
            if time.monotonic() > last_try:
                raise Conflict(
                    "Another hub of this PetriHub is at work on the same database.",
                    hint="Stop that one first, or give this one a database of its own.",
                )
            self._end_if_silent(silent)
            time.sleep(0.2)
        self._count_up()
        fence(self.number)
        # from here on what is left of earlier hubs finds no way back
        self._held.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name LIKE :hubs AND application_name <> :mine "
                "AND usename = current_user AND pid <> pg_backend_pid()"
            ),
            {"hubs": f"{_NAME}-%", "mine": f"{_NAME}-{self.number}"},
        )

    def keep(self) -> None:
        """Give signs of life in a thread of its own; calls `on_loss` if another hub took over."""
        threading.Thread(target=self._keep, name="hub-lease", daemon=True).start()

    def _keep(self) -> None:
        while True:
            time.sleep(_BEAT)
            try:
                self._held.execute(text("SELECT 1"))
            except DBAPIError:
                if not self._regained():
                    log.error("another hub has taken over; this one ends")
                    self._on_loss()
                    return

    def _regained(self) -> bool:
        """Lock again after the server was away; False if the number is not ours any more."""
        while True:
            try:
                self._held.close()
                self._held = self._open(self._urls[0])  # the fence compares the numbers
                if self._lock():
                    return _number(self._held) == self.number
            except TakenOver:
                return False
            except (DBAPIError, Unavailable):
                log.warning("the database does not answer; the lease is taken again when it does")
            time.sleep(1)

    def _lock(self) -> bool:
        answer = self._held.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _KEY})
        return bool(answer)

    def _end_if_silent(self, silent: float) -> None:
        self._held.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid) "
                "WHERE locktype = 'advisory' AND granted "
                "AND (classid::bigint << 32 | objid::bigint) = :key "
                "AND clock_timestamp() - state_change > make_interval(secs => :silent)"
            ),
            {"key": _KEY, "silent": silent},
        )

    def _count_up(self) -> None:
        """Write the next number into all databases. Only the holder of the lock may."""
        others = [self._open(url) for url in self._urls[1:]]
        for connection in (self._held, *others):
            connection.execute(
                text("CREATE SEQUENCE IF NOT EXISTS petrihub_hub_number MINVALUE 0 START 0")
            )
        self.number = 1 + max(_number(connection) for connection in (self._held, *others))
        for connection in (self._held, *others):
            connection.execute(
                text("SELECT setval('petrihub_hub_number', :number)"), {"number": self.number}
            )
        for connection in others:
            connection.close()

    def _open(self, url: URL) -> Connection:
        engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        try:
            return engine.connect()
        except DBAPIError as exc:
            raise Unavailable(
                "The database does not answer.", hint="Look at the log of PostgreSQL."
            ) from exc


def _plain(url: str) -> URL:
    # a driver without a loop of its own; the name keeps hubs that wait from being ended
    named = make_url(url).set(drivername="postgresql+psycopg")
    return named.update_query_dict({"application_name": "petrihub-lease"})


def _number(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT last_value FROM petrihub_hub_number")) or 0)


def fence(number: int) -> None:
    """From now on this process opens a connection to PostgreSQL only while `number` is the last.

    Holds for all engines of the process, JupyterHub's own too. A refused connection raises
    `TakenOver`.
    """

    def compare(connection: Any, _record: Any) -> None:
        if "sqlite" in type(connection).__module__:
            return
        cursor = connection.cursor()
        cursor.execute(f"SET application_name TO '{_NAME}-{number:d}'")
        cursor.execute("SELECT last_value FROM petrihub_hub_number")
        last = cursor.fetchone()[0]
        cursor.close()
        connection.commit()
        if last != number:
            raise TakenOver("Another hub has taken over.", hint="This one ends.")

    event.listen(Engine, "connect", compare)


def end_at_once() -> None:
    """End this process without tidying up: what there is belongs to the next hub by now."""
    os._exit(EXIT_TAKEN_OVER)
