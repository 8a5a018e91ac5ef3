"""Builds our images, one after the other, and puts them on the allow-list."""

import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.filesize import decimal

from petrihub_cli.alone import alone
from petrihub_cli.engine import Engine
from petrihub_cli.images.buildkit import BuildOrder, build
from petrihub_cli.images.debian import DEBIAN_TAG, ensure_debian
from petrihub_cli.images.display import BuildDisplay
from petrihub_cli.images.docker_cli import DockerCli, find_docker_cli
from petrihub_cli.images.recipe import (
    PREFIX,
    RUN_BY_WORKSPACES,
    TOOL,
    WORKSPACE,
    Recipe,
    compose,
    find_source,
    read_recipes,
)
from petrihub_cli.images.registration import register
from petrihub_cli.images.wheel import cache_folder, extensions_wheel
from petrihub_core.apps import APPS_LABEL
from petrihub_core.deployment import Deployment
from petrihub_core.errors import ConfigError, Unavailable
from petrihub_core.tools import KIND_LABEL

CONTEXT_LABEL = "org.petrihub.context"
PROFILE_LABEL = "org.petrihub.profile"
FOUNDATION = "foundation"  # the stage of a parent on which other images stand
# the last stage of an image bears the name of its kind


@dataclass(frozen=True)
class BuiltImage:
    """An image that the engine has; `fresh` tells whether this run made it."""

    name: str
    digest: str
    size_bytes: int
    labels: Mapping[str, str]
    fresh: bool


@dataclass(frozen=True)
class Wishes:
    """What the person asked for; `from_scratch` takes today's packages instead of kept steps."""

    names: Sequence[str] = ()
    ca_bundle: Path | None = None
    from_scratch: bool = False


async def build_images(
    deployment: Deployment | None,
    *,
    engine: Engine,
    names: Sequence[str] = (),
    ca_bundle: Path | None = None,
    from_scratch: bool = False,
    console: Console,
) -> list[BuiltImage]:
    """Build what is missing or out of date, register all of it, and report on the console.

    What is up to date costs one look at its label. A build that fails or is cut off changes
    nothing: the image before it stays in use. Raises Refused or Unavailable in words.
    """
    wishes = Wishes(tuple(names), ca_bundle, from_scratch)
    _refuse_missing(ca_bundle)
    cli = await find_docker_cli(engine)
    recipes = await asyncio.to_thread(read_recipes, find_source(), wishes.names)
    built = []
    for recipe in recipes:
        image = await _current(cli, recipe)
        if image is None or from_scratch:
            image = await _build_alone(cli, recipe, wishes, console)
        if deployment is not None and recipe.settings.kind in RUN_BY_WORKSPACES:
            await register(
                deployment,
                name=image.name,
                digest=image.digest,
                size_bytes=image.size_bytes,
                apps=recipe.apps,
                labels=dict(image.labels),
            )
        state = "built" if image.fresh else "up to date"
        console.print(f"[green]✓[/green] {image.name}: {state}, {decimal(image.size_bytes)}")
        built.append(image)
    return built


def _refuse_missing(ca_bundle: Path | None) -> None:
    if ca_bundle is not None and not ca_bundle.is_file():
        raise ConfigError(
            f"There is no file {ca_bundle}.", hint="Give the path of a PEM file with --ca-bundle."
        )


async def _current(cli: DockerCli, recipe: Recipe) -> BuiltImage | None:
    """The image as the engine has it, if it was made from exactly what the recipe is now."""
    found = await cli.inspect(recipe.tag)
    if found is None or _labels(found).get(CONTEXT_LABEL) != recipe.context:
        return None
    return _built(recipe, found, fresh=False)


def _labels(found: Mapping[str, Any]) -> dict[str, str]:
    return dict((found.get("Config") or {}).get("Labels") or {})


def _built(recipe: Recipe, found: Mapping[str, Any], *, fresh: bool) -> BuiltImage:
    return BuiltImage(recipe.tag, str(found["Id"]), int(found["Size"]), _labels(found), fresh)


async def _build_alone(
    cli: DockerCli, recipe: Recipe, wishes: Wishes, console: Console
) -> BuiltImage:
    """Build it, unless another process that was building it has done so meanwhile."""

    def waits() -> None:
        console.print(f"[dim]·[/dim] {recipe.tag} waits: another process builds images")

    async with alone(cache_folder() / "builds" / "lock", waits):
        found = None if wishes.from_scratch else await _current(cli, recipe)
        return found or await _build_one(cli, recipe, wishes, console)


async def _build_one(
    cli: DockerCli, recipe: Recipe, wishes: Wishes, console: Console
) -> BuiltImage:
    log = cache_folder() / "builds" / f"{recipe.name}.log"
    log.write_text(f"{recipe.tag}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n")
    with BuildDisplay(recipe.tag, console, log) as display:
        if not recipe.settings.parent:
            await ensure_debian(
                cli, fresh=wishes.from_scratch, log=log, progress=display.say, install=True
            )
        wheel = None
        if recipe.settings.kind == WORKSPACE:
            wheel = await extensions_wheel(
                recipe.source, ca_bundle=wishes.ca_bundle, log=log, progress=display.say
            )
        with tempfile.TemporaryDirectory(prefix="petrihub-context-") as folder:
            context = Path(folder)
            await asyncio.to_thread(compose, recipe, wheel, context)
            for order in _orders(recipe, context, wishes):
                await build(cli, order, log=log, listener=display.step)
    found = await cli.inspect(recipe.tag)
    if found is None:
        raise Unavailable(f"{recipe.tag} was built, but the engine does not have it.")
    return _built(recipe, found, fresh=True)


def _orders(recipe: Recipe, context: Path, wishes: Wishes) -> list[BuildOrder]:
    """The foundation first where there is one; the tag that workspaces use comes last."""
    orders = []
    if _has_stage(recipe, FOUNDATION):
        orders.append(
            _order(recipe, context, wishes, (FOUNDATION, f"{recipe.tag}:{FOUNDATION}", {}))
        )
    last = recipe.settings.kind
    orders.append(_order(recipe, context, wishes, (last, recipe.tag, _new_labels(recipe))))
    return orders


def _order(
    recipe: Recipe,
    context: Path,
    wishes: Wishes,
    made: tuple[str, str, Mapping[str, str]],
) -> BuildOrder:
    target, tag, labels = made
    arguments = {"DEBIAN": DEBIAN_TAG}
    if parent := recipe.settings.parent:
        # a tool stands on all of its parent, others on what the parent keeps for them
        stage = "" if recipe.settings.kind == TOOL else f":{FOUNDATION}"
        arguments["FOUNDATION"] = f"{PREFIX}{parent}{stage}"
    # the steps of a foundation that has just been made from scratch need not be made again
    scratch = wishes.from_scratch and not (target != FOUNDATION and _has_stage(recipe, FOUNDATION))
    return BuildOrder(context, target, tag, labels, arguments, wishes.ca_bundle, scratch)


def _has_stage(recipe: Recipe, stage: str) -> bool:
    lines = (recipe.folder / "Dockerfile").read_text(encoding="utf-8").splitlines()
    return any(line.startswith("FROM ") and line.endswith(f" AS {stage}") for line in lines)


def _new_labels(recipe: Recipe) -> dict[str, str]:
    settings = recipe.settings
    described = {}
    if settings.kind in RUN_BY_WORKSPACES:
        profile = {"title": settings.title, "description": settings.description}
        described = {
            KIND_LABEL: settings.kind,
            PROFILE_LABEL: json.dumps(profile, ensure_ascii=False),
            APPS_LABEL: recipe.apps_label(),
        }
    return {
        "org.opencontainers.image.title": f"PetriHub {settings.title}",
        "org.opencontainers.image.description": settings.description,
        "org.opencontainers.image.version": version("petrihub"),
        "org.opencontainers.image.created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "org.opencontainers.image.base.name": DEBIAN_TAG,
        CONTEXT_LABEL: recipe.context,
        **described,
    }
