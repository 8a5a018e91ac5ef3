"""The manual page of `petrihub.toml`, written from the model that reads the file."""

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from petrihub_core.deployment import Deployment

_HEAD = """\
# petrihub.toml

Everything that is fixed while PetriHub runs. The file stands in the state folder (`.petrihub/`
unless you chose another with `--state`); `scripts/up` writes a first one. After a change run
`petrihub config check`: an unknown setting, a wrong type or a missing file stops the start, and
the message names the file, the line, the setting and what is allowed.

This page is written by `petrihub config manual`; a test keeps it in step with the code
(`tests/test_documented.py`).
"""


def _sections(field: FieldInfo) -> type[BaseModel] | None:
    annotation = field.annotation
    inner = getattr(annotation, "__args__", (annotation,))[0]
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    return "empty" if value in ("", None, ()) else f"`{value}`"


def _table(model: type[BaseModel]) -> list[str]:
    lines = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for name, field in model.model_fields.items():
        if _sections(field) is None:
            lines.append(f"| `{name}` | {_default(field)} | {field.description} |")
    return lines


def configuration_manual() -> str:
    """The page as Markdown."""
    parts = [_HEAD, "## At the top of the file", "", *_table(Deployment), ""]
    for name, field in Deployment.model_fields.items():
        section = _sections(field)
        if section is None:
            continue
        repeated = isinstance(field.default, tuple)
        title = f"[[{name}]]" if repeated else f"[{name}]"
        parts += [f"## `{title}`", "", str(field.description)]
        if repeated:
            parts += ["", f"Repeat the header `{title}` for each; without any, those of PetriHub."]
        parts += ["", *_table(section), ""]
        for inner, each in section.model_fields.items():
            if table := _sections(each):
                parts += [f"### `[{name}.{inner}]`", "", str(each.description), ""]
                parts += [*_table(table), ""]
    return "\n".join(parts)
