"""The last output of an app, bounded and kept in memory: nothing of it reaches the served files."""

from __future__ import annotations

import re

MOST_BYTES = 256 * 1024
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|[\x00-\x08\x0b-\x1f\x7f]")


class LogRing:
    """Keeps the newest `limit` bytes of what was written."""

    def __init__(self, limit: int = MOST_BYTES) -> None:
        self._limit = limit
        self._bytes = bytearray()
        self._cut = False

    def write(self, chunk: bytes) -> None:
        """Adds a chunk; the oldest bytes beyond the limit go."""
        self._bytes += chunk
        surplus = len(self._bytes) - self._limit
        if surplus > 0:
            del self._bytes[:surplus]
            self._cut = True

    def note(self, line: str) -> None:
        """Adds a line of ours between those of the app."""
        self.write(f"[petrihub] {line}\n".encode())

    def text(self) -> str:
        """What is kept, as text without terminal codes."""
        raw = bytes(self._bytes)
        if self._cut:
            raw = b"(older lines were dropped)\n" + raw.partition(b"\n")[2]
        text = raw.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
        return _TERMINAL_CODES.sub("", text)

    def last_line(self, longest: int = 240) -> str:
        """The last line that the app itself wrote; empty when it said nothing."""
        lines = (line.strip() for line in reversed(self.text().splitlines()))
        return next(
            (line[:longest] for line in lines if line and not line.startswith("[petrihub]")), ""
        )
