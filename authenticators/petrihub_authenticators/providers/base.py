"""What every way to sign in does; the door decides the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from petrihub_authenticators.identity import Identity
from petrihub_core.errors import NotAllowed


class SignInFailed(NotAllowed):
    """The proof does not hold; the words say no more than that."""


@dataclass(frozen=True)
class Beginning:
    """Where to send the browser, and what to remember until it comes back."""

    url: str
    state: str = ""


@dataclass(frozen=True)
class Answer:
    """What came back from the browser, and from which network address."""

    fields: Mapping[str, str]
    address: str
    state: str = ""


class Provider(Protocol):
    """One way to prove who you are. Says nothing about whether you may enter."""

    def begin(self, back_to: str) -> Beginning:
        """Where to send somebody who wants to be at `back_to` afterwards."""

    async def finish(self, answer: Answer) -> Identity:
        """Who came back; raises `SignInFailed` or `Throttled` with words for the person."""
