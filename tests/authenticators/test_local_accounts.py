"""Names and passwords: who is let through, and what the others learn, with real tables."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, text

from petrihub_authenticators import throttle
from petrihub_authenticators.passwords import Passwords
from petrihub_authenticators.providers.base import Answer, SignInFailed
from petrihub_authenticators.providers.local import LocalAccounts
from petrihub_authenticators.throttle import ACCOUNT, ADDRESS
from petrihub_core import audit
from petrihub_core.database import Database
from petrihub_core.errors import Throttled
from petrihub_core.records import Account, AuditRow, Throttle, now

AddPerson = Callable[..., Awaitable[str]]
PASSWORD = "correct zebra paper clip"
TOGETHER = 30  # tries at the same moment; of many more the database sheds some
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


class Noting(Passwords):
    """The real thing, which also notes against what it checked."""

    def __init__(self) -> None:
        super().__init__(CHEAP)
        self.checked: list[bool] = []

    def _check(self, stored: str | None, password: str):  # type: ignore[no-untyped-def]
        self.checked.append(stored is not None)
        return super()._check(stored, password)


@pytest.fixture
def passwords() -> Noting:
    return Noting()


@pytest.fixture
async def door(
    database: Database, passwords: Noting, add_person: AddPerson
) -> Callable[..., Awaitable[str]]:
    """Signs in with a name and a password from an address; gives the name that came back."""
    await add_person(database, name="ada")
    await add_person(database, name="eve")
    provider = LocalAccounts(database, passwords, "/hub/login")

    async def finish(name: str, password: str = PASSWORD, address: str = "192.0.2.1") -> str:
        answer = Answer(fields={"username": name, "password": password}, address=address)
        return (await provider.finish(answer)).username

    return finish


@pytest.mark.parametrize("name", ["ada", "ADA", " Ada ", "ａｄａ", "ᵃᵈᵃ", "\u2009ada\n"])
async def test_variants_of_a_name_meet_the_same_account(door, name: str) -> None:
    assert await door(name) == "ada"


@pytest.mark.parametrize(
    "name",
    ["", "аda", "a\u200bda", "ada\x00", "ada/../eve", "x" * 1_000_000, "\ud800", "\x1b[31mada"],
)
async def test_other_names_are_refused_like_a_wrong_password(door, name: str) -> None:
    with pytest.raises(SignInFailed) as unknown:
        await door(name)
    with pytest.raises(SignInFailed) as wrong:
        await door("ada", "not the password")
    assert (unknown.value.message, unknown.value.hint) == (wrong.value.message, wrong.value.hint)
    assert unknown.value.status == wrong.value.status


async def test_a_name_that_nobody_has_takes_the_same_path(door, passwords: Noting) -> None:
    for name in ("ada", "nobody", "../x"):
        with pytest.raises(SignInFailed):
            await door(name, "not the password")
    assert passwords.checked == [True, False, False], "each was checked against some hash"


async def test_forged_fields_are_only_text(door) -> None:
    for password in ("", "\x00", "x" * 1_000_000, "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA"):
        with pytest.raises(SignInFailed):
            await door("eve", password, address=f"192.0.2.{len(password) % 250}")


async def test_the_account_is_slowed_down_for_everybody_and_success_resets_it(
    door, database: Database
) -> None:
    for number in range(ACCOUNT.free):
        with pytest.raises(SignInFailed):
            await door("ada", "guess", address=f"192.0.2.{number}")
    with pytest.raises(Throttled) as refused:
        await door("ADA", PASSWORD, address="198.51.100.1")
    assert refused.value.retry_after > 0
    assert "Wait" in refused.value.message
    assert await door("eve", address="198.51.100.1") == "eve"
    async with database.session() as session:
        await session.execute(text("UPDATE throttles SET blocked_until = NULL"))
    assert await door("ada") == "ada"
    async with database.session() as session:
        keys = list(await session.scalars(select(Throttle.key)))
    assert [key.split(":")[0] for key in keys] == ["address"] * ACCOUNT.free


async def test_names_that_nobody_has_are_slowed_down_just_the_same(door) -> None:
    outcomes = {}
    for name in ("ada", "nobody"):
        outcomes[name] = []
        for number in range(ACCOUNT.free + 2):
            try:
                await door(name, "guess", address=f"192.0.2.{number}")
            except (SignInFailed, Throttled) as refused:
                outcomes[name].append((refused.status, type(refused).__name__))
    assert outcomes["ada"] == outcomes["nobody"]
    assert outcomes["ada"][-1] == (429, "Throttled")


async def test_an_address_is_slowed_down_over_all_names(door) -> None:
    for number in range(ADDRESS.free):
        with pytest.raises(SignInFailed):
            await door(f"name{number}", "guess", address="192.0.2.9")
    for name in ("ada", "../not-a-name"):
        with pytest.raises(Throttled):
            await door(name, address="192.0.2.9")
    assert await door("ada", address="192.0.2.10") == "ada"
    with pytest.raises(Throttled):
        await door("ada", address="192.0.2.9")


async def test_many_tries_are_a_handful_of_looks_at_a_password(
    door, passwords: Noting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A28: by many machines at one account, then by one machine at many names."""
    moment = now()
    monkeypatch.setattr(throttle, "now", lambda: moment)  # a block must not end meanwhile

    async def guess(name: str, address: str) -> str:
        try:
            return await door(name, "guess", address)
        except (SignInFailed, Throttled) as refused:
            return type(refused).__name__

    said: Counter[str] = Counter()
    for each in range(5):
        tries = (guess("ada", f"10.0.{each}.{number}") for number in range(TOGETHER))
        said.update(await asyncio.gather(*tries))
    assert said == {"SignInFailed": ACCOUNT.free, "Throttled": 5 * TOGETHER - ACCOUNT.free}
    assert len(passwords.checked) == ACCOUNT.free
    for each in range(4):
        tries = (guess(f"name{each}-{number}", "10.1.0.1") for number in range(TOGETHER))
        await asyncio.gather(*tries)
    # those that were on their way when the address was first slowed down came through
    assert len(passwords.checked) <= ACCOUNT.free + ADDRESS.free + TOGETHER


async def test_a_hash_of_an_older_make_is_replaced_on_the_way_in(door, database: Database) -> None:
    async with database.session() as session:
        before = {
            each.person_id: each.password_hash for each in await session.scalars(select(Account))
        }
    assert await door("ada") == "ada"
    async with database.session() as session:
        after = {
            each.person_id: each.password_hash for each in await session.scalars(select(Account))
        }
    changed = [key for key in before if before[key] != after[key]]
    assert len(changed) == 1
    assert not CHEAP.check_needs_rehash(after[changed[0]])
    assert await door("ada") == "ada"


async def test_what_was_typed_is_nowhere(
    door, database: Database, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)  # below, the database driver writes its parameters
    for name, password in (
        ("canary-name", "canary-password"),
        ("canary password in the wrong field", "x"),
        ("canary" * 100_000, "y"),
        ("ada", "canary-for-ada"),
    ):
        with pytest.raises(SignInFailed):
            await door(name, password)
    output = capfd.readouterr()
    assert "sign-in refused" in output.out + output.err, "it is logged that somebody tried"
    assert "canary" not in output.out + output.err + caplog.text
    assert max(map(len, (output.out + output.err).splitlines())) <= 256
    async with database.session() as session:
        rows = list(await session.scalars(select(AuditRow)))
        assert [row.target for row in rows] == ["(unknown name)"] * 3 + ["ada"]
        assert {row.outcome for row in rows} == {"refused"}
        assert "canary" not in repr([(row.target, row.detail) for row in rows])
        assert await audit.verify(session) is None


def test_the_beginning_is_our_own_page(database: Database) -> None:
    provider = LocalAccounts(database, Passwords(CHEAP), "/hub/login")
    assert provider.begin("").url == "/hub/login"
    assert provider.begin("/hub/home?x=1&y").url == "/hub/login?next=%2Fhub%2Fhome%3Fx%3D1%26y"
