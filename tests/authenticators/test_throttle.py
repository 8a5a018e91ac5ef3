"""How often somebody may try, with real tables; the clock is moved, never waited for."""

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from petrihub_authenticators import throttle
from petrihub_authenticators.throttle import ACCOUNT, ADDRESS, Pace, account_key, address_key
from petrihub_core.database import Database
from petrihub_core.errors import Throttled
from petrihub_core.records import Throttle, now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    moving = Clock()
    monkeypatch.setattr(throttle, "now", moving.read)
    return moving


class Clock:
    def __init__(self) -> None:
        self.moment = now()

    def read(self) -> datetime:
        return self.moment

    def forward(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


async def fail(database: Database, key: str, pace: Pace, times: int = 1) -> None:
    for _ in range(times):
        async with database.session() as session:
            await throttle.count(session, key, pace)


async def wait_of(database: Database, *keys: str) -> int:
    """Seconds that these keys must wait; 0 if they may try."""
    try:
        async with database.session() as session:
            await throttle.admit(session, *keys)
    except Throttled as refused:
        return refused.retry_after
    return 0


async def test_the_wait_grows_and_has_an_end(database: Database, clock: Clock) -> None:
    key, waits = account_key("ada"), []
    for _ in range(20):
        await fail(database, key, ACCOUNT)
        wait = await wait_of(database, key)
        waits.append(wait)
        clock.forward(wait)
        assert await wait_of(database, key) == 0, "a block ends by itself"
    assert waits[: ACCOUNT.free - 1] == [0] * (ACCOUNT.free - 1)
    growing = waits[ACCOUNT.free - 1 :]
    assert growing[0] >= ACCOUNT.first_wait
    assert growing == sorted(growing)
    assert growing[0] < growing[1] < growing[2]
    assert max(growing) <= ACCOUNT.longest_wait + 1


async def test_a_block_does_not_grow_while_it_lasts(database: Database, clock: Clock) -> None:
    key = account_key("ada")
    await fail(database, key, ACCOUNT, ACCOUNT.free)
    first = await wait_of(database, key)
    for _ in range(50):
        assert await wait_of(database, key) == first


async def test_either_key_blocks_and_the_longer_wait_is_named(
    database: Database, clock: Clock
) -> None:
    account, place = account_key("ada"), address_key("192.0.2.7")
    await fail(database, account, ACCOUNT, ACCOUNT.free + 3)
    await fail(database, place, ADDRESS, ADDRESS.free)
    assert await wait_of(database, account, place) == await wait_of(database, account)
    assert await wait_of(database, account_key("eve"), place) > 0
    assert await wait_of(database, account_key("eve"), address_key("192.0.2.8")) == 0


async def test_forgetting_an_account_leaves_the_address(database: Database, clock: Clock) -> None:
    account, place = account_key("ada"), address_key("192.0.2.7")
    await fail(database, account, ACCOUNT, ACCOUNT.free)
    await fail(database, place, ADDRESS, ADDRESS.free)
    async with database.session() as session:
        await throttle.forget(session, account)
    assert await wait_of(database, account) == 0
    assert await wait_of(database, place) > 0


async def test_two_processes_count_together(database: Database, database_url: str) -> None:
    other, key = Database.open(database_url), account_key("ada")
    rounds = 8
    await asyncio.gather(*(fail(each, key, Pace(1000, 1, 1), rounds) for each in (database, other)))
    await other.close()
    async with database.session() as session:
        assert await throttle.count(session, key, Pace(1000, 1, 1)) == 2 * rounds + 1


async def test_old_failures_are_forgotten_and_swept(database: Database, clock: Clock) -> None:
    await fail(database, account_key("ada"), ACCOUNT, ACCOUNT.free - 1)
    clock.forward(25 * 3600)
    async with database.session() as session:
        assert await throttle.count(session, account_key("eve"), ACCOUNT) == 1
        await throttle.sweep(session)
        assert await session.scalar(select(func.count()).select_from(Throttle)) == 1
        assert await throttle.count(session, account_key("ada"), ACCOUNT) == 1


def test_the_words_name_the_wait() -> None:
    assert throttle._in_words(1) == "1 second"
    assert throttle._in_words(59) == "59 seconds"
    assert throttle._in_words(61) == "2 minutes"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.7", "192.0.2.8", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_addresses_of_one_customer_are_one_key(one: str, other: str, same: bool) -> None:
    assert (address_key(one) == address_key(other)) is same


def test_keys_say_nothing_about_whom_they_belong_to() -> None:
    assert "ada" not in account_key("ada")
    assert "192" not in address_key("192.0.2.7")
    assert len(account_key("a" * 32)) < 160
