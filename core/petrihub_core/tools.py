"""A tool of its own behind the gate: what its image's labels or its profile say about it."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from petrihub_core.addresses import Section
from petrihub_core.errors import Refused

KIND_LABEL = "org.petrihub.kind"  # workspace, tool or sidecar
TOOL_KIND = "tool"
SIDECAR_KIND = "sidecar"
SIDECARS_IMAGE = "petrihub/sidecars"
LABELS = "org.petrihub.tool."  # before the names of `ToolSection`, with - for _

_Argument = Annotated[str, Field(max_length=1024)]


class ToolSection(Section):
    """What the gate has to know of a tool. What is empty here, the image's labels say."""

    port: int | None = Field(
        None, ge=1, le=65535, description="Port on 127.0.0.1 where the tool answers."
    )
    title: str = Field("", max_length=64, description="Name of the tool on its pages.")
    icon: str = Field("", max_length=64, description="Name of one of our icons.")
    health: str = Field(
        "",
        pattern=r"^(/[!-~]*)?$",
        max_length=200,
        description="Path that answers below 500 when the tool is ready; else /.",
    )
    command: tuple[_Argument, ...] = Field(
        (),
        max_length=64,
        description=(
            "What the image's entrypoint is given instead of its own command. {port} and "
            "{base_path} in it are filled in."
        ),
    )
    absolute_urls: bool | None = Field(
        None, description="Whether the tool wants the whole address, with the workspace's in it."
    )

    def filled(self, base_path: str) -> tuple[str, ...]:
        """The command with port and base path, which has no slash at its end."""
        known = {"{port}": str(self.port), "{base_path}": base_path}
        filled = []
        for word in self.command:
            for name, value in known.items():
                word = word.replace(name, value)  # noqa: PLW2901
            filled.append(word)
        return tuple(filled)


def labelled_tool(labels: Mapping[str, Any]) -> ToolSection | None:
    """The tool that an image's labels describe; None if they describe none.

    Raises `Refused` naming the label that is wrong.
    """
    said = {
        name.removeprefix(LABELS).replace("-", "_"): value
        for name, value in labels.items()
        if name.startswith(LABELS)
    }
    if not said and labels.get(KIND_LABEL) != TOOL_KIND:
        return None
    try:
        if "command" in said:
            said["command"] = json.loads(said["command"])
        return ToolSection.model_validate(said)
    except (ValidationError, ValueError) as exc:
        name = exc.errors()[0]["loc"][0] if isinstance(exc, ValidationError) else "command"
        raise Refused(
            f"The image's label {LABELS}{str(name).replace('_', '-')} cannot be used.",
            hint="docs/how-to/bring-your-own-image.md says what each label may be.",
        ) from exc


def tool_labels(tool: ToolSection) -> dict[str, str]:
    """The labels that describe this tool."""
    found = {KIND_LABEL: TOOL_KIND}
    for name, value in tool.model_dump(exclude_defaults=True).items():
        words = json.dumps(value) if isinstance(value, tuple | list | bool) else str(value)
        found[LABELS + name.replace("_", "-")] = words
    return found


def combined(profile: ToolSection | None, image: ToolSection | None) -> ToolSection | None:
    """What the profile says, and for the rest what the image says; None: no tool of its own."""
    if profile is None or image is None:
        return profile or image
    said = profile.model_dump(exclude_defaults=True)
    return image.model_copy(update={**said, "command": profile.command or image.command})
