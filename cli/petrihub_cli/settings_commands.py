"""`petrihub settings`: the key of the kept secrets, and the manual of the pages."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from petrihub_cli.state import find_state
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.settings.fields import manual
from petrihub_core.settings.vault import Vault
from petrihub_portal.settings_pages import all_pages

settings_app = typer.Typer(help="The settings that administrators change in the browser.")

_BY = "petrihub settings rotate-key"
_HEAD = """\
# Settings pages

What an administrator changes in the browser under Admin, Settings (and TLS), or by REST below
`/services/portal/api/v1/settings`. Every saved version is kept. What is fixed at start stands in
[petrihub.toml](configuration.md).

This page is written by `petrihub settings manual`; a test keeps it in step with the code
(`tests/portal/test_settings_pages.py`).

"""


@settings_app.command("rotate-key")
def rotate_key(
    state: Annotated[
        Path,
        typer.Option("--state", envvar="PETRIHUB_STATE", help="Folder that holds all state."),
    ] = Path(".petrihub"),
) -> None:
    """Seal all kept secrets with a new key, and forget the old one. PetriHub may be running."""
    count = asyncio.run(rotate(find_state(state)))
    secrets = "1 secret is" if count == 1 else f"{count} secrets are"
    typer.echo(f"{secrets} sealed with a new key. Backups from before need the old key file.")


async def rotate(deployment: Deployment) -> int:
    """How many secrets were sealed anew. Killed anywhere, all can be opened; it can run again."""
    vault = Vault(deployment.secrets / "settings_keys")
    database = Database.open(deployment.database_url)
    try:
        await asyncio.to_thread(vault.add_key)
        async with database.session() as session:
            count = await vault.rotate(session, _BY)
        async with database.session() as session:
            await vault.drop_old_keys(session)
        return count
    finally:
        await database.close()


@settings_app.command("manual", hidden=True)
def settings_manual() -> None:
    """Print the manual page of the settings pages."""
    typer.echo(manual_page(), nl=False)


def manual_page() -> str:
    """The page as Markdown."""
    return _HEAD + manual(all_pages())
