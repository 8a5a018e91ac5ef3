"""`petrihub images ...`: build and list the images that workspaces run."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from petrihub_cli.engine import ensure_engine, find_engine
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

images_app = typer.Typer(help="The images that workspaces run on the Docker backend.")

_STATE = Path(".petrihub")
StateOption = Annotated[Path, typer.Option("--state", help="Folder that holds all state.")]
SocketOption = Annotated[
    str, typer.Option("--socket", help="Socket of a Docker engine; else one is found or started.")
]


@images_app.command("build")
def build_command(
    names: Annotated[list[str] | None, typer.Argument(help="Images; all if none is named.")] = None,
    ca_bundle: Annotated[
        Path | None,
        typer.Option(help="CA certificates (PEM) that the build trusts; they stay out of it."),
    ] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Take today's packages, not kept steps.")
    ] = False,
    socket: SocketOption = "",
    state: StateOption = _STATE,
) -> None:
    """Build what is missing or out of date and let workspaces run it."""
    console = Console(highlight=False, soft_wrap=True)

    async def work() -> None:
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

    asyncio.run(work())


@images_app.command("list")
def list_command(socket: SocketOption = "", state: StateOption = _STATE) -> None:
    """Show the images, their apps and sizes, and whether workspaces may run them."""
    Console(highlight=False).print(asyncio.run(_table(socket, state)))


def _deployment(state: Path) -> Deployment | None:
    """The deployment of the state folder, else of the environment; None if there is neither."""
    config = state / "petrihub.toml"
    if config.exists():
        return read_deployment(config)
    return read_deployment() if CONFIG_VARIABLE in os.environ else None


async def _table(socket: str, state: Path) -> Table:
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
