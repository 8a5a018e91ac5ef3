"""Signs of life of what works by itself: written after a round that did its work, not before."""

from datetime import datetime

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.database import Database
from petrihub_core.records import Heartbeat, now

RECONCILER = "reconciler"


async def beat(database: Database, part: str) -> None:
    """Say that `part` has just finished a round."""
    try:
        async with database.session() as session:
            row = await session.get(Heartbeat, part)
            if row is None:
                session.add(Heartbeat(part=part))
            else:
                row.at = now()
    except IntegrityError:
        pass  # two began at the same moment, and the other one said it


async def last_beat(session: AsyncSession, part: str) -> datetime | None:
    """When `part` last finished a round; None before its first."""
    row = await session.get(Heartbeat, part)
    return row.at if row else None
