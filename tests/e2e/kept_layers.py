"""The packed layers of an image of ours, kept between runs: the engine packs for three minutes."""

import json
import os
import shutil
from functools import partial
from pathlib import Path

from petrihub_cli.made import made

from tests.platform import INSTALLED

STORE = INSTALLED / "made"
NAME = "layers"


def give_layers(registry: Path) -> None:
    """Put what is kept into a registry's storage; the engine then only pushes what is not there."""
    kept = max(STORE.glob(f"{NAME}-*"), key=lambda each: each.stat().st_mtime, default=None)
    if kept is not None:
        shutil.copytree(kept, registry, copy_function=link, dirs_exist_ok=True)


def keep_layers(registry: Path, repository: str) -> None:
    """Keep the layers of the images in this repository, each under its tag."""
    for tag in (registry / "repositories" / repository / "_manifests/tags").glob("*"):
        manifest = json.loads(blob(registry, (tag / "current/link").read_text()).read_bytes())
        layers = {layer["digest"] for layer in manifest["layers"]}
        name = tag.name.removeprefix("sha256-")[:16]
        made(STORE, NAME, name, partial(copy_layers, registry, repository, layers))


def copy_layers(registry: Path, repository: str, layers: set[str], folder: Path) -> None:
    """Make `folder` a registry's storage with nothing but these layers in it."""
    for layer in layers:
        data = blob(registry, layer)
        named = Path("repositories", repository, "_layers/sha256", data.parent.name, "link")
        for file in (data, registry / named):
            place = folder / file.relative_to(registry)
            place.parent.mkdir(parents=True)
            link(file, place)


def blob(registry: Path, digest: str) -> Path:
    """The file of a blob."""
    name = digest.strip().removeprefix("sha256:")
    return registry / "blobs/sha256" / name[:2] / name / "data"


def link(source: str | Path, place: str | Path) -> None:
    """The same file at another place; a copy where that is another disk."""
    try:
        os.link(source, place)
    except OSError:
        shutil.copy2(source, place)
