"""Passwords: what is good enough, and argon2id beside the event loop.

Promises: at most `at_once` hashes run at a time (64 MiB each); checking a password against no
account does the same work as against one.
"""

import asyncio
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from petrihub_core.errors import Refused, Throttled

SHORTEST = 10  # characters
LONGEST = 256  # characters; more adds no strength, only work
_WAITING = 64  # checks in the queue; more would answer after the browser gave up

_Result = TypeVar("_Result")


def _commonest() -> frozenset[str]:
    text = files("petrihub_authenticators").joinpath("commonest.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def check_strength(password: str, name: str, shortest: int = SHORTEST) -> None:
    """Raise `Refused` with words if this password is too easy to guess for this person.

    `shortest` is in characters.
    """
    plain = _prepared(password).casefold()
    hint = "A sentence of a few words is easy to remember and hard to guess."
    if len(password) < shortest:
        raise Refused(f"The password needs at least {shortest} characters.", hint=hint)
    if len(password) > LONGEST:
        raise Refused(f"The password may have at most {LONGEST} characters.")
    if name and plain.strip("0123456789!._-@ ") == name.strip("0123456789._-"):
        raise Refused("The password must not be your name.", hint=hint)
    if len(set(plain)) < 4 or plain in _commonest():
        raise Refused("This password is among the first that people try.", hint=hint)


def _prepared(password: str) -> str:
    # the same letters typed on two keyboards can be two sequences of code points
    return unicodedata.normalize("NFKC", password[: LONGEST + 1])


@dataclass(frozen=True)
class Verdict:
    """Whether the password fits, and a fresh hash if the stored one is of an older make."""

    fits: bool
    fresh_hash: str | None = None


class Passwords:
    """Hashes and checks passwords in threads, a few at a time."""

    def __init__(self, hasher: PasswordHasher | None = None, *, at_once: int = 2) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = asyncio.Semaphore(at_once)
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The argon2id string to keep for `password`."""
        return await self._in_a_slot(lambda: self._hasher.hash(_prepared(password)))

    async def check(self, stored: str | None, password: str) -> Verdict:
        """Whether `password` belongs to the hash `stored`; None never fits, at the same cost."""
        return await self._in_a_slot(lambda: self._check(stored, password))

    @cached_property
    def _decoy(self) -> str:
        """A hash that no password is for, made with the same cost as the real ones."""
        return self._hasher.hash("nobody has this password")

    def _check(self, stored: str | None, password: str) -> Verdict:
        decoy = self._decoy  # read on both paths, so that the first caller learns nothing either
        try:
            self._hasher.verify(stored or decoy, _prepared(password))
        except (VerificationError, InvalidHashError):
            return Verdict(False)
        if stored is None or len(password) > LONGEST:
            return Verdict(False)
        if self._hasher.check_needs_rehash(stored):
            return Verdict(True, self._hasher.hash(_prepared(password)))
        return Verdict(True)

    async def _in_a_slot(self, work: Callable[[], _Result]) -> _Result:
        if self._waiting >= _WAITING:
            raise Throttled(
                "Many people are signing in just now.",
                hint="Wait a few seconds, then try again.",
                retry_after=5,
            )
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1
