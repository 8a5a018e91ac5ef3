"""The stages of a start, and the error that names the one that failed."""

from enum import StrEnum

from petrihub_core.errors import Unavailable


class Stage(StrEnum):
    """Where a start is, in the order that a person sees."""

    QUEUED = "queued"
    PREPARING = "preparing"
    STARTING = "starting"
    READY = "ready"


class StartFailed(Unavailable):
    """A start failed at `stage`; `log` holds the last lines that the workspace wrote."""

    def __init__(self, message: str, *, stage: Stage, hint: str, log: str = "") -> None:
        super().__init__(message, hint=hint)
        self.stage = stage
        self.log = log


LONGEST_FETCH = 12 * 3600  # seconds that an image may take to come, also when it moves
TRY_AGAIN = "Try again; if it happens again, tell the administrator."
FREE_SPACE = "Ask the administrator to free some space, then try again."
DISK_FULL = "The disk is full."
_DISK_FULL_SIGNS = ("no space left on device", "disk quota exceeded")


def looks_disk_full(text: str) -> bool:
    """Whether an error message or a log says that the disk is full."""
    lowered = text.lower()
    return any(sign in lowered for sign in _DISK_FULL_SIGNS)
