"""`petrihub settings`: the key of the kept secrets, and the manual of the pages."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

settings_app = typer.Typer(help="The settings that administrators change in the browser.")


@settings_app.command("rotate-key")
def rotate_key(
    state: Annotated[
        Path,
        typer.Option("--state", envvar="PETRIHUB_STATE", help="Folder that holds all state."),
    ] = Path(".petrihub"),
) -> None:
    """Seal all kept secrets with a new key, and forget the old one. PetriHub may be running."""
    from petrihub_cli.key_rotation import rotate
    from petrihub_cli.state import find_state

    count = asyncio.run(rotate(find_state(state)))
    secrets = "1 secret is" if count == 1 else f"{count} secrets are"
    typer.echo(f"{secrets} sealed with a new key. Backups from before need the old key file.")


@settings_app.command("manual", hidden=True)
def settings_manual() -> None:
    """Print the manual page of the settings pages."""
    from petrihub_cli.settings_manual import manual_page

    typer.echo(manual_page(), nl=False)
