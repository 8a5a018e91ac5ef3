"""Secrets of the settings pages: sealed with AES-256-GCM, bound to (page, field), never read back.

The key file holds one key a line, "<key id> <64 hex digits>", the newest first: what is sealed now
uses the first, what was sealed before is opened with its own until `rotate` has sealed it anew.
"""

import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit
from petrihub_core.errors import ConfigError, Unavailable
from petrihub_core.records import SealedSecret, now

_NONCE_BYTES = 12  # NIST SP 800-38D: 96 bits
_KEY_BYTES = 32
_FINGERPRINT_DIGITS = 8


def new_key_line() -> str:
    """A fresh key as a line of the key file."""
    return f"k{secrets.token_hex(4)} {secrets.token_hex(_KEY_BYTES)}"


class Vault:
    """Seals and opens; the keys are in a file that only our account reads."""

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file

    def _keys(self) -> dict[str, AESGCM]:
        if not self._key_file.exists():
            self._key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(new_key_line() + "\n")
        lines = self._key_file.read_text().split("\n")
        try:
            pairs = [line.split() for line in lines if line.strip()]
            return {key_id: AESGCM(bytes.fromhex(key)) for key_id, key in pairs}
        except ValueError as exc:
            raise ConfigError(
                f"The key file {self._key_file} is damaged.", hint="Put back its backup."
            ) from exc

    async def seal(self, session: AsyncSession, page: str, field: str, text: str, by: str) -> None:
        """Keep `text` under (page, field), in place of an earlier one, with an audit row."""
        key_id, key = next(iter(self._keys().items()))
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + key.encrypt(nonce, text.encode(), _bound(page, field, key_id))
        fingerprint = hashlib.sha256(b"petrihub" + text.encode()).hexdigest()[:_FINGERPRINT_DIGITS]
        row = await session.get(SealedSecret, (page, field))
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

    async def rotate(self, session: AsyncSession, by: str) -> int:
        """Seal everything with the newest key; how many were sealed with another one."""
        keys = self._keys()
        newest = next(iter(keys))
        rows = await session.scalars(select(SealedSecret).where(SealedSecret.key_id != newest))
        turned = 0
        for row in rows:
            text = self._unseal(row, keys)
            await self.seal(session, row.page, row.field, text, by)
            turned += 1
        return turned

    def _unseal(self, row: SealedSecret, keys: dict[str, AESGCM]) -> str:
        try:
            nonce, sealed = row.sealed[:_NONCE_BYTES], row.sealed[_NONCE_BYTES:]
            bound = _bound(row.page, row.field, row.key_id)
            return keys[row.key_id].decrypt(nonce, sealed, bound).decode()
        except (KeyError, InvalidTag) as exc:
            raise Unavailable(
                f"The stored secret {row.page}.{row.field} cannot be opened with our keys.",
                hint=f"Put back the key file {self._key_file}, or enter the secret again.",
            ) from exc


def _bound(page: str, field: str, key_id: str) -> bytes:
    # a sealed value that is copied to another row must not open there
    return f"petrihub/{len(page)}:{page}/{len(field)}:{field}/{key_id}".encode()
