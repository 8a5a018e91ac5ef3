"""A settings page as controls of a form, as words about what is wrong, and as a manual.

All three come from the model's own JSON schema, so a field is described in one place. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from petrihub_core.errors import PetriHubError
from petrihub_core.settings.store import SettingsPage

Kind = Literal["text", "number", "checkbox", "choice", "multiline", "hidden"]
Page = TypeVar("Page", bound=SettingsPage)


@dataclass(frozen=True, kw_only=True)
class Control:
    """One field of the form with what it holds now; `error` is what is wrong with it."""

    name: str
    title: str
    kind: Kind
    description: str
    limits: str
    value: str
    optional: bool
    minimum: int | None = None
    maximum: int | None = None
    longest: int | None = None
    choices: tuple[str, ...] = ()
    error: str = ""


class Invalid(PetriHubError):
    """Values that do not fit; `errors` holds the words by field, "" for the page as a whole."""

    status = 422

    def __init__(self, errors: Mapping[str, str]) -> None:
        said = "; ".join(f"{name}: {words}" if name else words for name, words in errors.items())
        super().__init__(said[:1000], hint="Nothing was saved.")
        self.errors = dict(errors)


def controls(
    model: type[SettingsPage], values: Mapping[str, str], errors: Mapping[str, str]
) -> list[Control]:
    """The form of a page, holding `values` as text."""
    return [
        _control(name, schema, values.get(name, ""), errors.get(name, ""))
        for name, schema in _properties(model)
    ]


def as_text(values: SettingsPage) -> dict[str, str]:
    """What the form's fields hold; a ticked box holds "on"."""
    return {name: _text(value) for name, value in values.model_dump(mode="json").items()}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else ""
    return "" if value is None else str(value)


def from_text(model: type[Page], form: Mapping[str, str]) -> Page:
    """The page that a posted form describes. Raises `Invalid`."""
    given: dict[str, Any] = {}
    for name, schema in _properties(model):
        text = form.get(name, "").replace("\r\n", "\n")
        plain, nullable = _plain(schema)
        if plain.get("type") == "boolean":
            given[name] = text == "on"
        elif text == "" and nullable:
            given[name] = None
        else:
            given[name] = text
    return from_values(model, given)


def from_values(model: type[Page], values: Mapping[str, Any]) -> Page:
    """The page that these values describe. Raises `Invalid`."""
    bad = [name for name, value in values.items() if isinstance(value, str) and not is_text(value)]
    if bad:
        raise Invalid({_named(name): "Only characters that can be shown." for name in bad})
    try:
        return model.model_validate(dict(values))
    except ValidationError as exc:
        known = dict(_properties(model))
        found: dict[str, str] = {}
        for error in exc.errors():
            name = _named(str(error["loc"][0])) if error["loc"] else ""
            found.setdefault(name, _words(error["type"], error["msg"], error.get("ctx", {})))
            if error["type"] == "extra_forbidden":
                found[name] = f"There is no such setting. There are: {', '.join(known)}."
        raise Invalid(found) from exc


def _named(name: str) -> str:
    """A field's name as somebody sent it, fit to be said back to them."""
    return name[:64].encode("ascii", "replace").decode()


def is_text(value: str) -> bool:
    """Whether every character can be stored and shown; lines may break."""
    return all(char.isprintable() or char in "\n\t" for char in value.replace("\r\n", "\n"))


def _words(kind: str, otherwise: str, limits: Mapping[str, Any]) -> str:
    told = {
        "string_too_long": "At most {max_length} characters.",
        "greater_than_equal": "At least {ge}.",
        "less_than_equal": "At most {le}.",
        "int_parsing": "A whole number is needed.",
        "int_type": "A whole number is needed.",
        "int_from_float": "A whole number is needed.",
        "string_pattern_mismatch": "This is not in the form that is described.",
        "literal_error": "Choose one of {expected}.",
    }
    if kind in told:
        return told[kind].format(**limits)
    words = otherwise.removeprefix("Value error, ")
    return f"{words[:1].upper()}{words[1:]}".rstrip(".") + "."


def _properties(model: type[SettingsPage]) -> list[tuple[str, dict[str, Any]]]:
    return list(model.model_json_schema().get("properties", {}).items())


def _plain(schema: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The schema without "or nothing", and whether it said so."""
    options = schema.get("anyOf", [schema])
    plain = next(each for each in options if each.get("type") != "null")
    return {**schema, **plain}, any(each.get("type") == "null" for each in options)


def _control(name: str, schema: dict[str, Any], value: str, error: str) -> Control:
    plain, optional = _plain(schema)
    kinds: dict[str, Kind] = {"boolean": "checkbox", "integer": "number"}
    kind: Kind = kinds.get(plain.get("type", ""), "text")
    if "enum" in plain:
        kind = "choice"
    elif plain.get("multiline"):
        kind = "multiline"
    elif plain.get("hidden"):  # set elsewhere on the page; the form carries it along
        kind = "hidden"
    return Control(
        name=name,
        title=plain.get("title", name),
        kind=kind,
        description=plain.get("description", ""),
        limits=_limits(plain, optional),
        value=value,
        optional=optional,
        minimum=plain.get("minimum"),
        maximum=plain.get("maximum"),
        longest=plain.get("maxLength"),
        choices=tuple(plain.get("enum", ())),
        error=error,
    )


def _limits(plain: dict[str, Any], optional: bool) -> str:
    told = []
    if "minimum" in plain and "maximum" in plain:
        told.append(f"{plain['minimum']} to {plain['maximum']}")
    if "maxLength" in plain:
        told.append(f"at most {plain['maxLength']} characters")
    if "enum" in plain:
        told.append("one of " + ", ".join(plain["enum"]))
    if plain.get("type") == "boolean":
        told.append("yes or no")
    if optional:
        told.append("may be empty")
    return ", ".join(told)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What one version changed, as (title, before, after)."""

    version: int
    by: str
    at: datetime
    changes: tuple[tuple[str, str, str], ...]


def difference(
    model: type[SettingsPage], before: Mapping[str, Any] | None, after: Mapping[str, Any]
) -> tuple[tuple[str, str, str], ...]:
    """What differs between two versions' contents; None stands for the defaults."""
    old = model().model_dump(mode="json") if before is None else before
    titles = {name: schema.get("title", name) for name, schema in _properties(model)}
    return tuple(
        (titles.get(name, name), _brief(old.get(name)), _brief(after.get(name)))
        for name in after
        if old.get(name) != after.get(name)
    )


def _brief(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = _text(value)
    return text if len(text) <= 80 else text[:79] + "…"


def manual(models: Iterable[type[SettingsPage]]) -> str:
    """The manual of these pages in Markdown."""
    lines = []
    for model in models:
        lines += [f"## {model.title}", ""]
        if model.summary:
            lines += [model.summary, ""]
        shown = controls(model, as_text(model()), {})
        if shown:
            lines += [
                "| Field | In the API | Default | Limits | What it is |",
                "|---|---|---|---|---|",
            ]
        for each in shown:
            default = ("yes" if each.value else "no") if each.kind == "checkbox" else each.value
            lines.append(
                f"| {each.title} | `{each.name}` | {default or 'empty'} | {each.limits} "
                f"| {each.description} |"
            )
        lines += [""] if shown else []
        for secret in model.secrets:
            lines += [f"Secret `{secret.name}` ({secret.title}): {secret.description}", ""]
    return "\n".join(lines)
