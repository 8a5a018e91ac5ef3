"""Passwords: what is refused in words, what is the same work, what is hashed afresh."""

import asyncio
import threading

import pytest
from argon2 import PasswordHasher

from petrihub_authenticators.passwords import LONGEST, Passwords, check_strength
from petrihub_core.errors import Refused, Throttled

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


class Counting(PasswordHasher):
    """Argon2 itself, which also notes what it was asked to do."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self.calls: list[str] = []
        self.running = self.most = 0
        self.lock = threading.Lock()
        self.gate: threading.Event | None = None

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:
        with self.lock:
            self.calls.append("verify")
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            if self.gate:
                self.gate.wait()
            return super().verify(hash, password)
        finally:
            with self.lock:
                self.running -= 1

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.calls.append("hash")
        return super().hash(password, salt=salt)


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("", "at least 10"),
        ("short", "at least 10"),
        ("123456789", "at least 10"),
        ("x" * (LONGEST + 1), "at most"),
        ("ada.lovelace", "your name"),
        ("ADA.LOVELACE", "your name"),
        ("ada.lovelace123", "your name"),
        ("aaaaaaaaaaaa", "first that people try"),
        ("ababababababab", "first that people try"),
        ("1234567890", "first that people try"),
        ("Password1234", "first that people try"),
        ("Correct Horse Battery Staple", "first that people try"),
    ],
)
def test_weak_passwords_are_refused_in_words(password: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        check_strength(password, "ada.lovelace")


@pytest.mark.parametrize(
    "password", ["correct zebra paper clip", "пароль из четырёх слов", "x y z w v u t s"]
)
def test_good_passwords_pass(password: str) -> None:
    check_strength(password, "ada")


async def test_what_was_hashed_fits_and_nothing_else() -> None:
    passwords = Passwords(CHEAP)
    stored = await passwords.hash("correct zebra paper clip")
    assert stored.startswith("$argon2id$")
    assert "zebra" not in stored
    assert (await passwords.check(stored, "correct zebra paper clip")).fits
    assert not (await passwords.check(stored, "correct zebra paper clip ")).fits
    assert not (await passwords.check(stored, "")).fits
    assert not (await passwords.check("not a hash", "correct zebra paper clip")).fits
    assert not (await passwords.check(None, "correct zebra paper clip")).fits


async def test_the_same_letters_from_two_keyboards_are_one_password() -> None:
    passwords = Passwords(CHEAP)
    stored = await passwords.hash("cafe\u0301 au lait noir")
    assert (await passwords.check(stored, "caf\u00e9 au lait noir")).fits


async def test_a_longer_password_with_the_same_beginning_does_not_fit() -> None:
    passwords = Passwords(CHEAP)
    stored = await passwords.hash("y" * LONGEST)
    assert (await passwords.check(stored, "y" * LONGEST)).fits
    assert not (await passwords.check(stored, "y" * LONGEST + "z")).fits
    assert not (await passwords.check(stored, "y" * 1_000_000)).fits


async def test_nobody_costs_what_somebody_costs() -> None:
    somebody, nobody = Counting(), Counting()
    stored = CHEAP.hash("correct zebra paper clip")
    assert not (await Passwords(somebody).check(stored, "wrong")).fits
    assert not (await Passwords(nobody).check(None, "wrong")).fits
    assert somebody.calls == nobody.calls


async def test_a_hash_of_an_older_make_comes_back_fresh() -> None:
    old = PasswordHasher(time_cost=1, memory_cost=32, parallelism=1).hash("correct zebra")
    verdict = await Passwords(CHEAP).check(old, "correct zebra")
    assert verdict.fits
    assert verdict.fresh_hash is not None
    assert not CHEAP.check_needs_rehash(verdict.fresh_hash)
    assert (await Passwords(CHEAP).check(verdict.fresh_hash, "correct zebra")).fits


async def test_few_run_at_a_time_and_too_many_in_line_are_sent_away() -> None:
    hasher = Counting()
    hasher.gate = threading.Event()
    passwords = Passwords(hasher, at_once=2)
    crowd = [asyncio.ensure_future(passwords.check(None, "x")) for _ in range(64)]
    await asyncio.sleep(0)  # all are in line now
    with pytest.raises(Throttled) as refused:
        await passwords.check(None, "x")
    assert refused.value.retry_after > 0
    hasher.gate.set()
    await asyncio.gather(*crowd)
    assert hasher.most <= 2
