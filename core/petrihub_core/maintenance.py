"""Maintenance in words: the banner on every page, and the refusal of a start."""

from dataclasses import dataclass
from datetime import UTC, datetime

from petrihub_core.errors import Unavailable
from petrihub_core.settings.pages import MaintenanceSettings


@dataclass(frozen=True, kw_only=True)
class Banner:
    """What every page says: before it begins with a countdown to `begins`, then that it is on."""

    begun: bool
    begins: datetime | None
    until: datetime | None
    message: str


def banner(settings: MaintenanceSettings, at: datetime) -> Banner | None:
    """The banner at this moment; None while no maintenance is set."""
    if not settings.on:
        return None
    return Banner(
        begun=settings.begun(at),
        begins=settings.from_,
        until=settings.until,
        message=settings.message,
    )


def moment(at: datetime) -> str:
    """A time that reads the same everywhere, such as "22 November, 14:30 UTC"."""
    utc = at.astimezone(UTC)
    return f"{utc.day} {utc:%B, %H:%M} UTC"


def require_open(settings: MaintenanceSettings, at: datetime) -> None:
    """Raise `Unavailable`, with until when, if nothing may be started at this moment."""
    if not settings.begun(at):
        return
    words = ["No workspace can be started during the maintenance."]
    if settings.message:
        words.append(settings.message)
    if settings.until:
        words.append(f"It is expected to end on {moment(settings.until)}.")
    raise Unavailable(" ".join(words), hint="Running workspaces are kept. Try again afterwards.")
