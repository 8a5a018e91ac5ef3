"""Cookies that only we can read: sealed with AEAD, with an age that we check."""

import base64
import binascii
import json
from typing import Any

from cryptography.fernet import Fernet, InvalidToken


class Sealer:
    """Seals small values for a named purpose; every replica has the same key."""

    def __init__(self, key: str) -> None:
        # the key is 64 hex digits, of which Fernet wants the bytes in base64
        self._fernet = Fernet(base64.urlsafe_b64encode(bytes.fromhex(key)))

    def seal(self, purpose: str, value: dict[str, Any]) -> str:
        """`value` as text for a cookie; it opens only for the same purpose."""
        return self._fernet.encrypt(json.dumps([purpose, value]).encode()).decode()

    def open(self, purpose: str, text: str | None, *, max_age_s: int) -> dict[str, Any] | None:
        """The sealed value; None if it is not ours, too old, or for another purpose."""
        if not text:
            return None
        try:
            raw = self._fernet.decrypt(text.encode(), ttl=max_age_s)
        except (InvalidToken, ValueError, binascii.Error):
            return None
        known, value = json.loads(raw)
        return value if known == purpose else None
