"""How often somebody may try: counted per account and per address, in our tables.

Promises: two hub processes agree; an attempt at an account is counted before the password is
looked at, so that a thousand at once are no more than a thousand in a row; a block ends by itself
and does not grow while it lasts; names and addresses are kept as hashes only.
"""

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.errors import Throttled
from petrihub_core.records import Throttle, now

_WINDOW = timedelta(hours=24)  # failures older than this are forgotten


@dataclass(frozen=True)
class Pace:
    """How many tries are free, then how long the wait is (seconds) and to what it doubles."""

    free: int
    first_wait: int
    longest_wait: int

    def wait(self, failures: int) -> int:
        """Seconds to wait after this many failures."""
        if failures < self.free:
            return 0
        return int(min(self.first_wait * 2.0 ** min(failures - self.free, 30), self.longest_wait))


# An institute's people may share one address, hence the wider limit there.
ACCOUNT = Pace(free=5, first_wait=5, longest_wait=15 * 60)
ADDRESS = Pace(free=30, first_wait=5, longest_wait=15 * 60)


def account_key(name: str) -> str:
    """The key of a normalised name; the same for names that nobody has."""
    return f"account:{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def address_key(address: str) -> str:
    """The key of a network address; an IPv6 network of 64 bits is one address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        place = address
    else:
        if parsed.version == 6:
            parsed = parsed.ipv4_mapped or parsed
        wide = 64 if parsed.version == 6 else 32
        place = str(ipaddress.ip_network(f"{parsed}/{wide}", strict=False))
    return f"address:{hashlib.sha256(place.encode()).hexdigest()[:32]}"


async def admit(session: AsyncSession, *keys: str) -> None:
    """Raise `Throttled` with the wait in words if any of these keys must wait now."""
    moment = now()
    rows = await session.scalars(select(Throttle).where(Throttle.key.in_(keys)))
    waits = [_left(row, moment) for row in rows]
    if max(waits, default=0) > 0:
        raise _throttled(max(waits))


async def take(session: AsyncSession, key: str, pace: Pace) -> None:
    """Count one try for `key` before it is made.

    Raises `Throttled`, and counts nothing, if tries at the same moment came first and used up what
    was free: looking with `admit` alone would let all of them through.
    """
    moment = now()
    left = _left(await _locked(session, key, moment), moment)
    if left > 0:
        raise _throttled(left)
    await count(session, key, pace)


def _left(row: Throttle, moment: datetime) -> float:
    """Seconds that are to be waited still; none if there is no wait."""
    return (row.blocked_until - moment).total_seconds() if row.blocked_until else 0.0


def _throttled(left: float) -> Throttled:
    seconds = int(left) + 1
    return Throttled(
        f"Too many tries. Wait {_in_words(seconds)}, then try again.",
        hint="If you forgot your password, ask an administrator for a reset link.",
        retry_after=seconds,
    )


async def count(session: AsyncSession, key: str, pace: Pace) -> int:
    """Count one try for `key`, set the wait that follows from it, and give the number of tries."""
    moment = now()
    row = await _locked(session, key, moment)
    if moment - row.window_started > _WINDOW:
        row.failures, row.window_started = 0, moment
    row.failures += 1
    wait = pace.wait(row.failures)
    row.blocked_until = moment + timedelta(seconds=wait) if wait else None
    await session.flush()
    return row.failures


async def forget(session: AsyncSession, key: str) -> None:
    """Start afresh for `key`: the right person came, or an administrator helped."""
    await session.execute(delete(Throttle).where(Throttle.key == key))


async def sweep(session: AsyncSession) -> None:
    """Drop what no longer says anything, so that guessing names does not fill the table."""
    moment = now()
    await session.execute(
        delete(Throttle).where(
            Throttle.window_started < moment - _WINDOW,
            or_(Throttle.blocked_until.is_(None), Throttle.blocked_until < moment),
        )
    )


async def _locked(session: AsyncSession, key: str, moment: datetime) -> Throttle:
    """The row of `key`, made if need be, and ours until the transaction ends."""
    dialect = session.get_bind().dialect.name
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    await session.execute(
        insert(Throttle)
        .values(key=key, failures=0, window_started=moment)
        .on_conflict_do_nothing(index_elements=[Throttle.key])
    )
    locked = select(Throttle).where(Throttle.key == key).with_for_update()
    return (await session.scalars(locked, execution_options={"populate_existing": True})).one()


def _in_words(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} second{'s' if seconds != 1 else ''}"
    minutes = -(-seconds // 60)
    return f"{minutes} minute{'s' if minutes != 1 else ''}"
