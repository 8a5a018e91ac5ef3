"""What an app declares about itself: in an image's label, or in the catalog's files."""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from petrihub_core.errors import Refused

APPS_LABEL = "org.petrihub.apps"

_Word = Annotated[str, Field(max_length=200)]
_FileType = Annotated[str, Field(pattern=r"^(\.[a-z0-9]+)+$", max_length=32)]


class AppDescriptor(BaseModel):
    """One tool with a tile. The user half reads the same JSON from `PETRIHUB_APPS`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")
    title: _Word
    summary: _Word = ""
    icon: str = Field(default="", max_length=512)
    kind: Literal["web", "desktop"] = "web"
    command: tuple[Annotated[str, Field(max_length=1024)], ...] = Field(min_length=1, max_length=64)
    socket: bool = False
    health: str = Field(default="/", pattern=r"^/", max_length=200)
    absolute_url: bool = False
    file_types: tuple[_FileType, ...] = ()
    needs_file: bool = False
    requires: tuple[_Word, ...] = ()
    missing: str = Field(default="", max_length=500)
    environment: dict[str, str] = Field(default_factory=dict)
    timeout: int = Field(default=60, ge=1, le=600)
    unavailable: str = Field(default="", max_length=500)


_APPS = TypeAdapter(tuple[AppDescriptor, ...])


def parse_apps(label: str) -> tuple[AppDescriptor, ...]:
    """The apps that an image's label declares; raises `Refused` naming what is wrong."""
    try:
        return _APPS.validate_json(label)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Refused(
            f"The app descriptor is not valid: {where}: {first['msg']}.",
            hint="Correct the file in catalog/apps and build the image again.",
        ) from exc


def catalog_apps(folder: Path) -> tuple[AppDescriptor, ...]:
    """The descriptors in `folder`, one JSON file each, in the order of their file names."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return parse_apps(json.dumps(found))
