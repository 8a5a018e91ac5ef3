"""The images of a deployment: built or added as its configuration says, and their list."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from petrihub_cli.engine import ensure_engine, find_engine
from petrihub_cli.images.added import Wanted, add_image
from petrihub_cli.images.build import CONTEXT_LABEL, build_images
from petrihub_cli.images.docker_cli import find_docker_cli
from petrihub_cli.images.recipe import (
    SERVICE,
    Recipe,
    find_source,
    read_recipes,
    recipe_names,
)
from petrihub_cli.images.registration import registered_digests
from petrihub_core.database import migrate
from petrihub_core.deployment import CONFIG_VARIABLE, Deployment, read_deployment
from petrihub_core.errors import Unavailable


async def build(
    names: Sequence[str], socket: str, state: Path, *, ca_bundle: Path | None, from_scratch: bool
) -> None:
    """Build what is missing or out of date and let workspaces of the deployment run it."""
    console = Console(highlight=False, soft_wrap=True)
    deployment = _deployment(state)
    named = socket or (deployment.docker.socket if deployment else "")
    # where the parts run apart, the hub keeps the database and looks for images when it starts
    apart = deployment is not None and deployment.parts == "apart"
    if deployment is None:
        console.print("[dim]·[/dim] No petrihub.toml here: built, but not registered")
    elif not apart:
        await migrate(deployment.database_url)
    await build_images(
        None if apart else deployment,
        engine=await ensure_engine(named, install=True, progress=console.print),
        names=names or (recipe_names(find_source()) if apart else ()),
        ca_bundle=ca_bundle,
        from_scratch=from_scratch,
        console=console,
    )
    if apart:
        console.print("[dim]·[/dim] Workspaces run them from the hub's next start on")


async def add(wanted: Wanted, socket: str, state: Path) -> None:
    """Let workspaces of the deployment run a tool from an image that the engine has."""
    console = Console(highlight=False, soft_wrap=True)
    deployment = _deployment(state)
    together = deployment is not None and deployment.parts == "together"
    if deployment is not None and together:
        await migrate(deployment.database_url)
    named = socket or (deployment.docker.socket if deployment else "")
    await add_image(
        deployment if together else None,
        wanted,
        engine=await ensure_engine(named, install=True, progress=console.print),
        console=console,
    )
    console.print("[dim]·[/dim] Name it in a profile: Admin, Profiles")


async def table(socket: str, state: Path) -> Table:
    """The images, their apps and sizes, and whether workspaces may run them."""
    deployment = _deployment(state)
    engine = await find_engine(socket or (deployment.docker.socket if deployment else ""))
    if engine is None:
        raise Unavailable(
            "No Docker engine is running.", hint="`petrihub images build` starts one."
        )
    cli = await find_docker_cli(engine)
    ours = deployment is not None and deployment.parts == "together"
    allowed = await registered_digests(deployment) if deployment and ours else {}
    table = Table("Image", "Profile", "Apps", "Size", "State", box=None, pad_edge=False)
    source = find_source()
    for recipe in await asyncio.to_thread(read_recipes, source, recipe_names(source)):
        found = await cli.inspect(recipe.tag)
        apps = ", ".join(app.title for app in recipe.apps) or "-"
        size = decimal(int(found["Size"])) if found else "-"
        table.add_row(recipe.tag, recipe.settings.title, apps, size, _state(recipe, found, allowed))
    return table


def _deployment(state: Path) -> Deployment | None:
    """The deployment of the state folder, else of the environment; None if there is neither."""
    config = state / "petrihub.toml"
    if config.exists():
        return read_deployment(config)
    return read_deployment() if CONFIG_VARIABLE in os.environ else None


def _state(recipe: Recipe, found: dict[str, object] | None, allowed: dict[str, str]) -> str:
    """In words: whether the image is there, up to date, and the one that workspaces run."""
    if found is None:
        return "not built"
    config = found.get("Config")
    labels = (config.get("Labels") if isinstance(config, dict) else None) or {}
    words = "up to date" if labels.get(CONTEXT_LABEL) == recipe.context else "out of date"
    if recipe.settings.kind == SERVICE:
        return words
    if allowed.get(recipe.tag) == found["Id"]:
        return f"{words}, in use"
    return f"{words}, not registered"
