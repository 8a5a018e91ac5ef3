"""Secrets of the settings pages: sealed with AES-256-GCM, bound to (page, field), never read back.

The key file holds one key a line, "<key id> <64 hex digits>", the newest first: what is sealed now
uses the first, what was sealed before is opened with its own. A rotation has three steps, and
after each of them everything can be opened: `add_key`, `rotate`, `drop_old_keys`.
"""

import hashlib
import hmac
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit
from petrihub_core.errors import ConfigError, Conflict, Unavailable
from petrihub_core.records import SealedSecret, now

_NONCE_BYTES = 12  # NIST SP 800-38D: 96 bits
_KEY_BYTES = 32
_FINGERPRINT_DIGITS = 8
_POSTGRES_LOCK = 0x7661756C74  # any number, the same for all who seal

Keys = dict[str, bytes]


def new_key_line() -> str:
    """A fresh key as a line of the key file."""
    return f"k{secrets.token_hex(4)} {secrets.token_hex(_KEY_BYTES)}"


class Vault:
    """Seals and opens; the keys are in a file that only our account reads."""

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file

    def __repr__(self) -> str:
        return f"Vault({str(self._key_file)!r})"

    async def seal(self, session: AsyncSession, page: str, field: str, text: str, by: str) -> None:
        """Keep `text` under (page, field), in place of an earlier one, with an audit row."""
        await self._one_at_a_time(session)
        row = await session.get(SealedSecret, (page, field))
        keys = self._keys()  # after the lock: whoever drops old keys waits for us, or we for them
        key_id, sealed = _sealed(keys, page, field, text)
        # keyed, so that nobody who reads it can try guesses against it
        digest = hmac.new(keys[key_id], f"petrihub:{text}".encode(), hashlib.sha256)
        fingerprint = digest.hexdigest()[:_FINGERPRINT_DIGITS]
        if row is None:
            row = SealedSecret(
                page=page, field=field, key_id=key_id, sealed=sealed, fingerprint=fingerprint, by=by
            )
            session.add(row)
        else:
            row.key_id, row.sealed, row.fingerprint = key_id, sealed, fingerprint
            row.by, row.at = by, now()
        await session.flush()
        await audit.record(
            session,
            actor=by,
            action="secret.set",
            target=f"{page}.{field}",
            detail={"fingerprint": fingerprint},
        )

    async def open(self, session: AsyncSession, page: str, field: str) -> str | None:
        """The secret; None if none is kept. Raises `Unavailable` if no key of ours opens it."""
        row = await session.get(SealedSecret, (page, field))
        return None if row is None else self._unseal(row, self._keys())

    async def forget(self, session: AsyncSession, page: str, field: str, by: str) -> None:
        """Remove the secret; does nothing if there is none."""
        row = await session.get(SealedSecret, (page, field))
        if row is not None:
            await session.delete(row)
            await audit.record(session, actor=by, action="secret.removed", target=f"{page}.{field}")

    async def look(self, session: AsyncSession, page: str) -> dict[str, SealedSecret]:
        """What is set on a page, by field: for fingerprint and date, never for the secret."""
        rows = await session.scalars(select(SealedSecret).where(SealedSecret.page == page))
        return {row.field: row for row in rows}

    def add_key(self) -> str:
        """The first step of a rotation: from now on a new key seals; its id."""
        lines = self._lines()
        fresh = new_key_line()
        self._write([fresh, *lines])
        return fresh.split()[0]

    async def rotate(self, session: AsyncSession, by: str) -> int:
        """The second step: seal everything with the newest key; how many were with another."""
        await self._one_at_a_time(session)
        keys = self._keys()
        newest = next(iter(keys))
        rows = list(
            await session.scalars(select(SealedSecret).where(SealedSecret.key_id != newest))
        )
        for row in rows:
            opened = self._unseal(row, keys)
            row.key_id, row.sealed = _sealed(keys, row.page, row.field, opened)
        await session.flush()
        await audit.record(
            session,
            actor=by,
            action="secrets.rotated",
            target=newest,
            detail={"sealed_anew": len(rows)},
        )
        return len(rows)

    async def drop_old_keys(self, session: AsyncSession) -> int:
        """The last step: keep the newest key only; how many were dropped.

        Raises `Conflict` if something is still sealed with another one.
        """
        await self._one_at_a_time(session)
        lines = self._lines()
        newest = lines[0].split()[0]
        left = await session.scalar(
            select(SealedSecret.field).where(SealedSecret.key_id != newest).limit(1)
        )
        if left is not None:
            raise Conflict("Something is still sealed with an older key.", hint="Rotate again.")
        self._write(lines[:1])
        return len(lines) - 1

    async def _one_at_a_time(self, session: AsyncSession) -> None:
        """Nobody else seals, rotates or drops keys until this transaction ends."""
        if session.get_bind().dialect.name == "postgresql":
            await session.execute(
                text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK}
            )
        else:  # SQLite has one writer at a time, and this begins to be it
            await session.execute(text("SELECT 1"))

    def _lines(self) -> list[str]:
        if not self._key_file.exists():
            self._write([new_key_line()], only_if_missing=True)
        return [line for line in self._key_file.read_text().splitlines() if line.strip()]

    def _keys(self) -> Keys:
        try:
            pairs = [line.split() for line in self._lines()]
            keys = {key_id: bytes.fromhex(key) for key_id, key in pairs}
            if not keys or any(len(key) != _KEY_BYTES for key in keys.values()):
                raise ValueError("a key is missing or cut")
            return keys
        except ValueError as exc:
            raise ConfigError(
                f"The key file {self._key_file} is damaged.", hint="Put back its backup."
            ) from exc

    def _write(self, lines: list[str], *, only_if_missing: bool = False) -> None:
        """The key file in one step, on the disk before it counts; readable by this account only."""
        folder = self._key_file.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, fresh = tempfile.mkstemp(dir=folder)  # mode 0600
        with os.fdopen(descriptor, "w") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        if not only_if_missing:
            os.replace(fresh, self._key_file)
            return
        with suppress(FileExistsError):  # another replica was first, and its key counts
            os.link(fresh, self._key_file)
        os.unlink(fresh)

    def _unseal(self, row: SealedSecret, keys: Keys) -> str:
        try:
            nonce, sealed = row.sealed[:_NONCE_BYTES], row.sealed[_NONCE_BYTES:]
            bound = _bound(row.page, row.field, row.key_id)
            return AESGCM(keys[row.key_id]).decrypt(nonce, sealed, bound).decode()
        except (KeyError, InvalidTag) as exc:
            raise Unavailable(
                f"The stored secret {row.page}.{row.field} cannot be opened with our keys.",
                hint=f"Put back the key file {self._key_file}, or enter the secret again.",
            ) from exc


def _sealed(keys: Keys, page: str, field: str, text: str) -> tuple[str, bytes]:
    key_id, key = next(iter(keys.items()))
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return key_id, nonce + AESGCM(key).encrypt(nonce, text.encode(), _bound(page, field, key_id))


def _bound(page: str, field: str, key_id: str) -> bytes:
    # a sealed value that is copied to another row must not open there
    return f"petrihub/{len(page)}:{page}/{len(field)}:{field}/{key_id}".encode()
