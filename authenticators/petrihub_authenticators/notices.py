"""What a page says once after a change. The browser keeps only a random id, never the words.

Nothing here must survive a restart: the change itself is in the tables.
"""

import secrets
import time
from dataclasses import dataclass

_KEEP = 300.0  # seconds
_MOST = 1000  # notices at a time; the oldest go first


@dataclass(frozen=True)
class Notice:
    """Words for one person, with a one-time link if there is one to hand over."""

    reader: str
    text: str
    link: str = ""


class Notices:
    """Notices that wait to be read, in this process."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[float, Notice]] = {}

    def leave(self, notice: Notice) -> str:
        """The id under which `notice` can be read once."""
        deadline = time.monotonic() + _KEEP
        self._waiting = {k: v for k, v in self._waiting.items() if v[0] > time.monotonic()}
        while len(self._waiting) >= _MOST:
            self._waiting.pop(next(iter(self._waiting)))
        key = secrets.token_urlsafe(16)
        self._waiting[key] = (deadline, notice)
        return key

    def read(self, key: str, reader: str) -> Notice | None:
        """The notice, if it is for this reader and was not read before."""
        deadline, notice = self._waiting.get(key, (0.0, None))
        if notice is None or notice.reader != reader or deadline < time.monotonic():
            return None
        del self._waiting[key]
        return notice
