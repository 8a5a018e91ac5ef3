"""The gate's own pages, in the frame of PetriHub: no script, no style inside, light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from time import time

from jinja2 import Environment, FileSystemLoader, Template

from petrihub_sidecars.gate.settings import GateSettings
from petrihub_sidecars.gate.visits import Visit

STATIC = Path(__file__).with_name("static")
OWN_PATH = "petrihub-gate/"  # below the workspace's address; the tool's paths are all others


@dataclass(frozen=True)
class Page:
    """A message; `retry` are seconds after which the page looks again by itself.

    `log` are the tool's last lines, for the owner.
    """

    heading: str
    words: str
    busy: bool = False
    retry: int = 0
    log: str = ""


@dataclass(frozen=True)
class Row:
    """One visit in words."""

    name: str
    how: str
    came: str
    stayed: str
    inside: bool


def rendered(page: Page, settings: GateSettings) -> str:
    """The page as HTML."""
    return _template("message.html").render(page=page, gate=settings, own=_own(settings))


def rendered_visits(visits: Sequence[Visit], settings: GateSettings) -> str:
    """The record of visits as HTML, newest first."""
    rows = [_row(visit) for visit in visits]
    return _template("visits.html").render(rows=rows, gate=settings, own=_own(settings))


def _own(settings: GateSettings) -> str:
    return settings.base_url + OWN_PATH


def _row(visit: Visit) -> Row:
    guest = "" if visit.mode.value == "owner" else "guest"
    program = "by a program with a token" if visit.way == "token" else ""
    end = time() if visit.inside else visit.seen
    return Row(
        name=visit.name,
        how=", ".join(each for each in (guest, program) if each),
        came=f"{datetime.fromtimestamp(visit.since, UTC):%d %B %Y, %H:%M} UTC",
        stayed=duration(end - visit.since),
        inside=visit.inside,
    )


def duration(seconds: float) -> str:
    """A length of time in words."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    hours, minutes = divmod(minutes, 60)
    parts = []
    if hours:
        parts.append(f"{hours} hour{'s' * (hours != 1)}")
    if minutes:
        parts.append(f"{minutes} minute{'s' * (minutes != 1)}")
    return " ".join(parts)


@cache
def _template(name: str) -> Template:
    folder = FileSystemLoader(Path(__file__).with_name("templates"))
    return Environment(loader=folder, autoescape=True).get_template(name)
