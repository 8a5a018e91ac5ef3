"""A hub as far as the lease knows it: takes it, then writes as fast as it can, through its pool.

Says "at work N" and then "wrote N" or "refused N ERROR" for each write.
"""

import asyncio
import sys
import threading

from sqlalchemy import text

from petrihub_core.database import Database
from petrihub_core.errors import PetriHubError
from petrihub_core.lease import Lease, end_at_once

INSERT = text("INSERT INTO writes VALUES (:number)")


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def write_for_ever(url: str, number: int) -> None:
    database = Database.open(url)
    while True:
        try:
            async with database.session() as session:
                await session.execute(
                    text("INSERT INTO writes VALUES (:number)"), {"number": number}
                )
        except PetriHubError as exc:
            say("refused", number, exc.message)
            refused.set()
        await asyncio.sleep(0.02)


refused = threading.Event()


def end() -> None:
    """Taken over; of the two threads that may notice it first the one that writes shall say so."""
    refused.wait()
    end_at_once()


url, patience, silent = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
lease = Lease([url], end)
try:
    lease.take(patience=patience, silent=silent)
except PetriHubError as exc:
    sys.exit(exc.message)
lease.keep()
say("at work", lease.number)
asyncio.run(write_for_ever(url, lease.number))
