"""Times in forms: `datetime-local` fields hold UTC; with JavaScript people see their own time."""

from datetime import UTC, datetime

from petrihub_core.errors import Refused


def read_moment(text: str, what: str) -> datetime | None:
    """The moment in a form's field; None if it is empty. Raises `Refused` naming `what`."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise Refused(
            f"{what}: this is not a date with a time.", hint="Write it as 2026-05-31T14:30."
        ) from exc
    if not 2000 <= at.year <= 9000:
        raise Refused(f"{what}: this year is not meant.", hint="Write it as 2026-05-31T14:30.")
    return at


def field_value(at: datetime | None) -> str:
    """The moment as a `datetime-local` field holds it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M") if at else ""
