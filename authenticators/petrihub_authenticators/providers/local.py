"""Local accounts: names and passwords in our own table.

Promises: a name that nobody has gets the same words, the same status and the same work as a wrong
password; what was typed is never logged.
"""

from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import select, update

from petrihub_authenticators import throttle
from petrihub_authenticators.identity import Identity
from petrihub_authenticators.passwords import Passwords
from petrihub_authenticators.providers.base import Answer, Beginning, SignInFailed
from petrihub_core import audit, settings
from petrihub_core.database import Database
from petrihub_core.errors import Refused
from petrihub_core.logs import get_logger
from petrihub_core.names import normalise_username
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.records import Account, Person
from petrihub_core.settings.pages import SignInSettings

log = get_logger(__name__)

_WRONG = "The name or the password is wrong."
_WRONG_HINT = "Check both, and whether Caps Lock is on."


@dataclass(frozen=True)
class _Candidate:
    identity: Identity
    person_id: str
    password_hash: str


class LocalAccounts:
    """Asks for a name and a password."""

    def __init__(self, database: Database, passwords: Passwords, sign_in_url: str) -> None:
        self._database = database
        self._passwords = passwords
        self._sign_in_url = sign_in_url

    def begin(self, back_to: str) -> Beginning:
        """Our own sign-in page."""
        query = f"?{urlencode({'next': back_to})}" if back_to else ""
        return Beginning(f"{self._sign_in_url}{query}")

    async def finish(self, answer: Answer) -> Identity:
        """Whose name and password these are."""
        name = _name(answer.fields.get("username", ""))
        candidate = await self._admit(name, answer.address)
        verdict = await self._passwords.check(
            candidate.password_hash if candidate else None, answer.fields.get("password", "")
        )
        if candidate is None or not verdict.fits:
            await self._failed(candidate, answer.address)
            raise SignInFailed(_WRONG, hint=_WRONG_HINT)
        await self._succeeded(candidate, verdict.fresh_hash)
        return candidate.identity

    async def _admit(self, name: str | None, address: str) -> _Candidate | None:
        """The account of this name, after its try was counted; raises `Throttled`."""
        place = throttle.address_key(address)
        async with self._database.session() as session:
            if name is None:
                await throttle.admit(session, place)
                return None
            account = throttle.account_key(name)
            await throttle.admit(session, account, place)
            chosen = await settings.read(session, SignInSettings)
            await throttle.take(session, account, _pace(chosen))
            found = (
                await session.execute(
                    select(Person, Account)
                    .join(Account, Account.person_id == Person.id)
                    .where(Person.username == name, Person.issuer == LOCAL_ISSUER)
                )
            ).one_or_none()
        if found is None:
            return None
        person, secret = found
        identity = Identity(person.issuer, person.subject, person.username)
        return _Candidate(identity, person.id, secret.password_hash)

    async def _failed(self, candidate: _Candidate | None, address: str) -> None:
        # people type passwords into the name field: only names that exist are written down
        target = candidate.identity.username if candidate else "(unknown name)"
        async with self._database.session() as session:
            await throttle.count(session, throttle.address_key(address), throttle.ADDRESS)
            await throttle.sweep(session)
            await audit.record(
                session,
                actor="(not signed in)",
                action="sign-in",
                target=target,
                outcome="refused",
                detail={"address": address},
            )
        log.info("sign-in refused", name=target, address=address)

    async def _succeeded(self, candidate: _Candidate, fresh_hash: str | None) -> None:
        async with self._database.session() as session:
            await throttle.forget(session, throttle.account_key(candidate.identity.username))
            if fresh_hash:
                # only over the hash that was checked: a reset in between must win
                await session.execute(
                    update(Account)
                    .where(Account.person_id == candidate.person_id)
                    .where(Account.password_hash == candidate.password_hash)
                    .values(password_hash=fresh_hash)
                )


def _name(typed: str) -> str | None:
    try:
        return normalise_username(typed)
    except Refused:
        return None


def _pace(chosen: SignInSettings) -> throttle.Pace:
    """How failed tries at one account slow down, as an administrator set it."""
    return throttle.Pace(
        free=chosen.free_tries,
        first_wait=throttle.ACCOUNT.first_wait,
        longest_wait=chosen.longest_wait * 60,
    )
