"""App descriptors: what PETRIHUB_APPS says, validated; a bad entry never stops Jupyter."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal, cast

from jsonschema import (  # type: ignore[import-untyped]
    Draft202012Validator,
    ValidationError,
)

DESKTOP = "desktop"
_PLACEHOLDER = re.compile(r"\{(port|socket|base_url|file|home)\}")
_SAFE_ID = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True)
class AppDescriptor:
    """One app of this workspace; `unavailable` holds the reason why it cannot be opened."""

    id: str
    title: str
    kind: Literal["web", "desktop"]
    command: tuple[str, ...]
    summary: str = ""
    icon: str = ""
    socket: bool = False
    health: str = "/"
    absolute_url: bool = False
    file_types: tuple[str, ...] = ()
    needs_file: bool = False
    requires: tuple[str, ...] = ()
    missing: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 60.0
    unavailable: str = ""

    @property
    def takes_file(self) -> bool:
        """Whether a file can be handed to the program when it starts."""
        return any("{file}" in element for element in self.command)

    def opens(self, name: str) -> bool:
        """Whether a file of this name is of a type that the app is made for."""
        return name.lower().endswith(tuple(kind.lower() for kind in self.file_types))


def argv(command: tuple[str, ...], values: Mapping[str, str | None]) -> list[str]:
    """The command with its placeholders filled; elements that name a missing file are left out.

    One pass over the template, so a file that is called `{port}` stays what it is.
    """
    return [
        fill(element, values)
        for element in command
        if not ("{file}" in element and not values.get("file"))
    ]


def fill(template: str, values: Mapping[str, str | None]) -> str:
    """The template with the known placeholders replaced; other braces are left alone."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1]) or "", template)


def read_descriptors(text: str) -> tuple[list[AppDescriptor], list[str]]:
    """The apps in the order given, and what was wrong in words (for the log)."""
    if not text.strip():
        return [], []
    try:
        entries = json.loads(text)
    except ValueError as exc:
        return [], [f"PETRIHUB_APPS is not JSON: {exc}"]
    if not isinstance(entries, list):
        return [], ["PETRIHUB_APPS is not a list of apps"]
    apps: dict[str, AppDescriptor] = {}
    problems: list[str] = []
    for index, entry in enumerate(entries):
        problem = _problem(entry)
        if problem:
            problems.append(f"PETRIHUB_APPS[{index}]: {problem}")
        app = _broken(entry, problem) if problem else _descriptor(entry)
        if app is None:
            continue
        if app.id in apps:
            problems.append(f"PETRIHUB_APPS[{index}]: the id {app.id} is used twice")
            continue
        apps[app.id] = app
    return list(apps.values()), problems


def _schema() -> dict[str, Any]:
    source = files("petrihub_extensions").joinpath("descriptor.schema.json")
    return cast(dict[str, Any], json.loads(source.read_text(encoding="utf-8")))


_VALIDATOR = Draft202012Validator(_schema())


def _problem(entry: object) -> str:
    """What is wrong with one entry, with the place; empty when it is fine."""
    error = next(iter(sorted(_VALIDATOR.iter_errors(entry), key=_place)), None)
    if error is not None:
        place = _place(error)
        return f"{place}: {error.message}" if place else error.message
    values = cast(dict[str, Any], entry)
    if values["id"] != DESKTOP and not values["command"]:
        return "command: an app without a command cannot be started"
    if values.get("needs_file") and not values.get("file_types"):
        return "needs_file: say in file_types which files it opens"
    return ""


def _place(error: ValidationError) -> str:
    return ".".join(str(part) for part in error.absolute_path)


def _descriptor(entry: dict[str, Any]) -> AppDescriptor:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()
    }
    return AppDescriptor(**values)


def _broken(entry: object, problem: str) -> AppDescriptor | None:
    """A greyed tile for an entry that can at least be named; None when it cannot."""
    if not isinstance(entry, dict):
        return None
    id_, title = entry.get("id"), entry.get("title")
    if not isinstance(id_, str) or not _SAFE_ID.fullmatch(id_) or not isinstance(title, str):
        return None
    reason = f"The description of this app has a mistake ({problem}). Tell your platform admin."
    return AppDescriptor(
        id=id_, title=title[:60] or id_, kind="web", command=(), unavailable=reason
    )
