"""What one of our images is made of: its folder, the catalog, the extensions; and their hash."""

import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from petrihub_core.apps import AppDescriptor, catalog_apps
from petrihub_core.errors import NotFound, Refused

PREFIX = "petrihub/"
WORKSPACE: Literal["workspace"] = "workspace"
SERVICE: Literal["service"] = "service"
SIDECAR: Literal["sidecar"] = "sidecar"
TOOL: Literal["tool"] = "tool"
RUN_BY_WORKSPACES = (WORKSPACE, SIDECAR, TOOL)  # what is built unless told otherwise
FORMAT = "1"  # of the context; another one makes every image out of date
# what records the files of an image that people work in, as the last step of its build
_RECORDER = ("manifest.py", "record.py", "tree.py")
_NOT_SOURCE = {
    "node_modules",
    "lib",
    "dist",
    "build",
    "labextension",
    "__pycache__",
    ".yarn",
    ".ipynb_checkpoints",
}


class ImageSettings(BaseModel):
    """The file image.toml beside a Dockerfile.

    `kind`: JupyterLab as people's workspaces run it, a tool that stands behind the gate, a helper
    beside either, or a part of PetriHub itself that runs in a container.
    `product`: files and folders of the source tree that a part of PetriHub is made of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    description: str
    kind: Literal["workspace", "tool", "sidecar", "service"] = WORKSPACE
    product: tuple[str, ...] = ()
    parent: str = ""
    apps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """The folders of a PetriHub source tree that images are made of."""

    root: Path

    @property
    def images(self) -> Path:
        """One folder for each image, and `shared`."""
        return self.root / "images"

    @property
    def catalog(self) -> Path:
        """App descriptors and what a new home gets."""
        return self.root / "catalog"

    @property
    def extensions(self) -> Path:
        """The source of petrihub-extensions."""
        return self.root / "extensions"


@dataclass(frozen=True)
class Recipe:
    """One image that can be built; `context` is the hash of all that goes into it."""

    name: str
    settings: ImageSettings
    apps: tuple[AppDescriptor, ...]
    source: Source
    context: str

    @property
    def tag(self) -> str:
        """The name under which an engine and the allow-list know the image."""
        return PREFIX + self.name

    @property
    def folder(self) -> Path:
        """The image's Dockerfile and what belongs to it."""
        return self.source.images / self.name

    def apps_label(self) -> str:
        """The apps as the image's label declares them."""
        described = [app.model_dump(mode="json", exclude_defaults=True) for app in self.apps]
        for entry, app in zip(described, self.apps, strict=True):
            entry["kind"] = app.kind  # has a default here, and is required in the other half
        return json.dumps(described, ensure_ascii=False)


def find_source(start: Path | None = None) -> Source:
    """The source tree around this file (or `start`); NotFound when PetriHub runs without one."""
    here = start or Path(__file__)
    for folder in here.resolve().parents:
        if (folder / "images" / "base" / "Dockerfile").is_file():
            return Source(folder)
    raise NotFound(
        "The sources of the images are not here.",
        hint="Run this command from a clone of the PetriHub repository.",
    )


def recipe_names(source: Source, *kinds: str) -> list[str]:
    """The images that this source tree can build; only those of `kinds`, if any is given."""
    found = sorted(source.images.glob("*/image.toml"))
    return [path.parent.name for path in found if not kinds or _settings(path).kind in kinds]


def read_recipes(source: Source, names: Iterable[str] = ()) -> list[Recipe]:
    """The recipes named, parents first; if none is, those that workspaces run.

    Raises Refused for what is unknown or wrong.
    """
    known = recipe_names(source)
    wanted = [name.removeprefix(PREFIX) for name in names] or recipe_names(
        source, *RUN_BY_WORKSPACES
    )
    for name in wanted:
        if name not in known:
            raise Refused(
                f"There is no image called {name}.", hint=f"There are: {', '.join(known)}."
            )
    recipes: dict[str, Recipe] = {}
    for name in wanted:
        _add(source, name, recipes, ())
    return list(recipes.values())


def _add(source: Source, name: str, recipes: dict[str, Recipe], children: tuple[str, ...]) -> None:
    if name in recipes:
        return
    if name in children:
        raise Refused(f"The image {name} is its own parent.", hint="Correct its image.toml.")
    settings = _settings(source.images / name / "image.toml")
    if settings.parent:
        _add(source, settings.parent, recipes, (*children, name))
    apps = _apps(source, name, settings)
    parent = recipes[settings.parent].context if settings.parent else ""
    context = _context_hash(source, name, settings, apps, parent)
    recipes[name] = Recipe(name, settings, apps, source, context)


def _settings(path: Path) -> ImageSettings:
    try:
        return ImageSettings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise Refused(
            f"The file {path} cannot be used: {error}", hint="Correct it and try again."
        ) from error


def _apps(source: Source, name: str, settings: ImageSettings) -> tuple[AppDescriptor, ...]:
    found = {app.id: app for app in catalog_apps(source.catalog / "apps")}
    absent = [app for app in settings.apps if app not in found]
    if absent:
        raise Refused(
            f"The image {name} names an app that the catalog does not have: {absent[0]}.",
            hint=f"Correct {source.images / name / 'image.toml'} or add it to catalog/apps.",
        )
    return tuple(found[app] for app in settings.apps)


def _context_hash(
    source: Source,
    name: str,
    settings: ImageSettings,
    apps: tuple[AppDescriptor, ...],
    parent: str,
) -> str:
    """One hash over every byte that goes into the image, and over its parent's hash."""
    digest = hashlib.sha256()
    described = [app.model_dump(mode="json") for app in apps]
    kept = settings.model_dump(mode="json", exclude={"kind", "product"})  # they choose the parts
    digest.update(json.dumps([FORMAT, parent, kept, described]).encode())
    for folder, inside in parts(source, name, settings):
        _add_tree(digest, folder, inside)
    if settings.kind == WORKSPACE:
        digest.update(extensions_hash(source).encode())
    return digest.hexdigest()


def parts(source: Source, name: str, settings: ImageSettings) -> list[tuple[Path, str]]:
    """The folders of an image's build context and where they go in it; later ones win."""
    if settings.kind == TOOL:
        return [
            (source.images / name, "."),
            (source.images / "shared", "shared"),
            *_last_step(source),
        ]
    if settings.kind != WORKSPACE:
        product = [(source.root / part, f"product/{part}") for part in settings.product]
        return [*product, (source.images / name, "."), (source.images / "shared", "shared")]
    parent = settings.parent
    inherited = source.images / parent / "rootfs" if parent else None
    found = [(inherited, "rootfs")] if inherited and inherited.is_dir() else []
    found += [(source.images / name, "."), (source.images / "shared", "shared")]
    if not (source.images / name / "welcome").is_dir():
        found.append((source.catalog / "notebooks", "welcome"))
    return [*found, *_last_step(source)]


def _last_step(source: Source) -> list[tuple[Path, str]]:
    """What opens and records an image that people work in: the script and the recorder."""
    package = Path("petrihub_sidecars", "checkpointer")
    recorder = [
        (source.images / "sidecars" / package / name, f"finish/{package / name}")
        for name in _RECORDER
    ]
    return [(source.images / "finish", "finish"), *recorder]


def extensions_hash(source: Source) -> str:
    """The hash of the sources of petrihub-extensions, without what is built from them."""
    digest = hashlib.sha256()
    _add_tree(digest, source.extensions, "extensions")
    return digest.hexdigest()


def _add_tree(digest: "hashlib._Hash", folder: Path, inside: str) -> None:
    for path in _source_files(folder):
        mode = "x" if os.access(path, os.X_OK) else "-"
        content = path.read_bytes()
        digest.update(f"{inside}/{path.relative_to(folder)}\0{mode}{len(content)}\0".encode())
        digest.update(content)


def _source_files(folder: Path) -> Iterator[Path]:
    if folder.is_file():
        yield folder
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if n not in _NOT_SOURCE or _is_image_part(where))
        yield from (
            Path(where) / name
            for name in sorted(names)
            if not name.endswith((".pyc", ".tsbuildinfo"))
        )


def _is_image_part(where: str) -> bool:
    """Below `rootfs` a folder called lib or build belongs to the image."""
    return "rootfs" in Path(where).parts


def compose(recipe: Recipe, wheel: Path | None, target: Path) -> None:
    """Write the image's build context into the empty folder `target`. Blocks: copies files.

    `wheel` is that of petrihub-extensions; None for an image that nobody works in.
    """
    for folder, inside in parts(recipe.source, recipe.name, recipe.settings):
        if folder.is_file():
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(folder, target / inside)
            continue
        shutil.copytree(
            folder,
            target / inside,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".ipynb_checkpoints"),
        )
    if wheel is not None:
        (target / "wheels").mkdir()
        shutil.copy2(wheel, target / "wheels")
