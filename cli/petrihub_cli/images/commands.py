"""`petrihub images ...`: build, add and list the images that workspaces run."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

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
    from petrihub_cli.images.listing import build

    asyncio.run(build(names or (), socket, state, ca_bundle=ca_bundle, from_scratch=from_scratch))


@images_app.command("add")
def add_command(
    image: Annotated[str, typer.Argument(help="An image that the engine has already.")],
    name: Annotated[str, typer.Option(help="What profiles call it: petrihub/NAME.")],
    said: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="What its labels do not say: port, title, icon, health, command, absolute-urls.",
        ),
    ] = None,
    socket: SocketOption = "",
    state: StateOption = _STATE,
) -> None:
    """Let workspaces run a tool from another image, behind our sign-in."""
    from petrihub_cli.images.added import Wanted, read_said
    from petrihub_cli.images.listing import add

    asyncio.run(add(Wanted(image, name, read_said(said or ())), socket, state))


@images_app.command("list")
def list_command(socket: SocketOption = "", state: StateOption = _STATE) -> None:
    """Show the images, their apps and sizes, and whether workspaces may run them."""
    from rich.console import Console

    from petrihub_cli.images.listing import table

    Console(highlight=False).print(asyncio.run(table(socket, state)))
