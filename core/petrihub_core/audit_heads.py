"""A second copy of the chain's heads, outside the database: it shows a cut or remade trail.

Heads are appended to a file in the state folder and written to the log, which operators send
elsewhere. Whoever can only write to the database cannot make the file agree with it.
"""

import asyncio
import json
import os
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.audit import Flaw, Head, head
from petrihub_core.database import Database
from petrihub_core.errors import PetriHubError
from petrihub_core.logs import get_logger
from petrihub_core.records import AuditRow, now

EVERY = 30.0  # seconds between two looks: rows of the last half minute are not yet covered
_STEP = 500  # numbers in one query
_LINE = 200  # bytes that a line never exceeds

log = get_logger(__name__)


class HeadsFile:
    """The heads of one deployment in a file that is only ever appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def last(self) -> Head | None:
        """The newest head kept; None before the first."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - 2 * _LINE))
                heads = _parsed(file.read().decode("ascii", "replace"))
        except FileNotFoundError:
            return None
        return heads[-1] if heads else None

    def all(self) -> list[Head]:
        """All heads kept, oldest first; a line that a crash left torn is passed over."""
        try:
            return _parsed(self.path.read_text("ascii", "replace"))
        except FileNotFoundError:
            return []

    def append(self, newest: Head) -> None:
        """Keep a head; two processes that append at once do not mix their lines."""
        line = json.dumps({"at": now().isoformat(), "seq": newest.seq, "digest": newest.digest})
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # begins with a line's end, so that a torn line before it spoils nothing
            os.write(descriptor, f"\n{line}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _parsed(text: str) -> list[Head]:
    heads = []
    for line in text.split("\n"):
        try:
            found = json.loads(line)
            heads.append(Head(int(found["seq"]), str(found["digest"])))
        except (ValueError, KeyError, TypeError):
            continue
    return heads


async def keep_newest(database: Database, file: HeadsFile) -> Head:
    """Append the newest head if it is not there yet; the head.

    A trail that is shorter than what was kept is not followed: `check` tells it.
    """
    async with database.reading() as session:
        newest = await head(session)
    kept = await asyncio.to_thread(file.last)
    if newest.seq > (kept.seq if kept else 0):
        await asyncio.to_thread(file.append, newest)
        log.info("audit head", seq=newest.seq, digest=newest.digest)
    return newest


async def keep_heads(database: Database, file: HeadsFile) -> None:
    """Keep heads until cancelled; what goes wrong is logged, and tried again."""
    while True:
        try:
            await keep_newest(database, file)
        except (OSError, PetriHubError, SQLAlchemyError):
            log.warning("the head of the audit trail could not be kept", exc_info=True)
        await asyncio.sleep(EVERY)


async def check(session: AsyncSession, heads: list[Head]) -> Flaw | None:
    """The first kept head that the trail does not have; None if it has all of them."""
    for begin in range(0, len(heads), _STEP):
        some = heads[begin : begin + _STEP]
        rows = await session.execute(
            select(AuditRow.seq, AuditRow.digest).where(
                AuditRow.seq.in_([kept.seq for kept in some])
            )
        )
        digests = {row.seq: row.digest for row in rows}
        for kept in some:
            if kept.seq not in digests:
                newest = await head(session)
                return Flaw(
                    kept.seq,
                    f"It was there once, but the trail ends at number {newest.seq}: "
                    "its end was cut off, or an older backup was put back.",
                )
            if digests[kept.seq] != kept.digest:
                return Flaw(kept.seq, "It is not the row that was there when its digest was kept.")
    return None
