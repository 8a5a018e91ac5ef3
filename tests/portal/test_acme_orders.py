"""Orders and leases in the tables: one at a time, also on PostgreSQL, and none hangs for ever."""

import asyncio
from datetime import timedelta

import pytest

from petrihub_core import settings
from petrihub_core.database import Database
from petrihub_core.errors import Conflict, Refused
from petrihub_core.records import AcmeChallenge, CertificateOrder, now
from petrihub_portal.ordering import AcmeSettings, answer_to, ask, newest, take_lease

A_MINUTE = timedelta(minutes=1)


async def accept(database: Database) -> None:
    async with database.session() as session:
        await settings.write(session, AcmeSettings(terms=True), by="ada")


async def test_of_many_who_order_at_once_one_does(database: Database) -> None:
    await accept(database)

    async def order(by: str) -> bool:
        try:
            async with database.session() as session:
                await ask(session, by=by)
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*(order(f"p{number}") for number in range(5)))) == 1


async def test_an_order_whose_replica_died_does_not_block_the_next(database: Database) -> None:
    await accept(database)
    async with database.session() as session:
        dead = await ask(session, by="ada")
        dead.deadline = now() - A_MINUTE
    async with database.session() as session:
        fresh = await ask(session, by="eve")
    async with database.reading() as session:
        ended = await session.get_one(CertificateOrder, dead.id)
        assert (ended.state, ended.words) == ("failed", "It was interrupted. Order again.")
        found = await newest(session)
        assert found is not None
        assert found.id == fresh.id


async def test_without_the_terms_nothing_is_ordered(database: Database) -> None:
    with pytest.raises(Refused, match="terms of service"):
        async with database.session() as session:
            await ask(session, by="ada")
    async with database.reading() as session:
        assert await newest(session) is None


async def test_a_lease_is_one_holders_until_it_runs_out(database: Database) -> None:
    async def take(holder: str, how_long: timedelta = A_MINUTE) -> bool:
        async with database.session() as session:
            return await take_lease(session, "certificates", holder, how_long)

    first = await asyncio.gather(*(take(f"replica-{number}") for number in range(4)))
    assert sum(first) == 1
    holder = f"replica-{first.index(True)}"
    assert await take(holder, -A_MINUTE)  # its own it may take again
    assert await take("another")
    assert not await take(holder)


async def test_a_challenge_is_answered_until_it_expires(database: Database) -> None:
    async with database.session() as session:
        for token, left in (("fresh", A_MINUTE), ("old", -A_MINUTE)):
            session.add(
                AcmeChallenge(token=token, authorization=f"{token}.key", expires_at=now() + left)
            )
    async with database.reading() as session:
        assert await answer_to(session, "fresh") == "fresh.key"
        assert await answer_to(session, "old") is None
        assert await answer_to(session, "other") is None
