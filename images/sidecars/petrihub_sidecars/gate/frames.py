"""Tells messages of a websocket from its pings: a tab that is only kept open is no work."""

_DATA = (0, 1, 2)  # continuation, text, binary; the others are control frames


class Frames:
    """Follows one direction of a websocket as its bytes pass; keeps no message."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    def said_something(self, piece: bytes) -> bool:
        """Whether a message, or a part of one, begins in this piece."""
        said = False
        at = 0
        while at < len(piece):
            if self._left:
                step = min(self._left, len(piece) - at)
                self._left -= step
                at += step
                continue
            self._head += piece[at : at + 1]
            at += 1
            length = self._payload()
            if length is not None:
                said = said or (self._head[0] & 0x0F) in _DATA
                self._left, self._head = length, b""
        return said

    def _payload(self) -> int | None:
        """Bytes after the frame's head; None while the head is not complete."""
        head = self._head
        if len(head) < 2:
            return None
        short = head[1] & 0x7F
        mask = 4 if head[1] & 0x80 else 0
        wide = {126: 2, 127: 8}.get(short, 0)
        if len(head) < 2 + wide:
            return None
        return mask + (int.from_bytes(head[2 : 2 + wide], "big") if wide else short)
