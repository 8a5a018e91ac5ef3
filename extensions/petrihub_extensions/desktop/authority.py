"""A cookie file for X, so that only this workspace's programs may draw on its desktop."""

from __future__ import annotations

import os
import secrets
import struct
from pathlib import Path

_ANY_HOST = 0xFFFF
_NAME = b"MIT-MAGIC-COOKIE-1"


def write_authority(path: Path) -> bytes:
    """Writes a fresh cookie for any display into a private file; the cookie."""
    cookie = secrets.token_bytes(16)
    fields = (b"", b"", _NAME, cookie)  # address, display: empty stands for every one
    entry = struct.pack(">H", _ANY_HOST) + b"".join(
        struct.pack(">H", len(value)) + value for value in fields
    )
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(entry)
    return cookie


def read_cookie(path: Path) -> bytes:
    """The cookie out of a file that `write_authority` wrote."""
    return path.read_bytes()[-16:]


AUTHORITY_NAME = _NAME
