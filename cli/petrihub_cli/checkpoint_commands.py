"""`petrihub checkpoints`: save the workspace of somebody, and look at what is saved."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

checkpoints_app = typer.Typer(help="Save what is installed in a workspace; see what is saved.")

StateOption = Annotated[
    Path,
    typer.Option("--state", envvar="PETRIHUB_STATE", help="Folder that holds all state."),
]


@checkpoints_app.command("save")
def save(
    workspace: Annotated[str, typer.Argument(help="Whose and which, as in ada/study.")],
    name: Annotated[str, typer.Option(help="What the checkpoint shall be called.")],
    message: Annotated[str, typer.Option(help="What is in it.")] = "",
    state: StateOption = Path(".petrihub"),
) -> None:
    """Save a running workspace and wait until it is read back."""
    from petrihub_cli.checkpointing import save as save_now
    from petrihub_cli.state import find_state
    from petrihub_core.checkpoints import Wish

    asyncio.run(save_now(find_state(state), workspace, Wish(name=name, message=message)))


@checkpoints_app.command("list")
def list_all(
    person: Annotated[str, typer.Argument(help="Only of this person.")] = "",
    state: StateOption = Path(".petrihub"),
) -> None:
    """Print what is saved: whose, from which workspace, how large, when, and its digest."""
    from petrihub_cli.checkpointing import show
    from petrihub_cli.state import find_state

    asyncio.run(show(find_state(state), person))


@checkpoints_app.command("export")
def export(
    checkpoint: Annotated[str, typer.Argument(help="Its digest, as `list` prints it, or its id.")],
    file: Annotated[Path, typer.Argument(help="File to write.")],
    state: StateOption = Path(".petrihub"),
) -> None:
    """Write a checkpoint to a file: an OCI archive that bears this PetriHub's signature."""
    from petrihub_cli.checkpoint_files import export as export_now
    from petrihub_cli.state import find_state

    asyncio.run(export_now(find_state(state), checkpoint, file))


@checkpoints_app.command("import")
def bring(
    file: Annotated[Path, typer.Argument(help="What `export` wrote.", exists=True, dir_okay=False)],
    person: Annotated[str, typer.Option(help="Whose checkpoint it shall be.")],
    state: StateOption = Path(".petrihub"),
) -> None:
    """Take in a checkpoint from a file and wait until it is verified and kept."""
    from petrihub_cli.checkpoint_files import bring as bring_now
    from petrihub_cli.state import find_state

    asyncio.run(bring_now(find_state(state), file, person))


@checkpoints_app.command("trust")
def trust(
    key: Annotated[str, typer.Argument(help="The other PetriHub's key, as its `key` prints it.")],
    title: Annotated[str, typer.Option(help="Whose PetriHub that is.")] = "",
    end: Annotated[bool, typer.Option("--end", help="Do not trust it any more.")] = False,
    state: StateOption = Path(".petrihub"),
) -> None:
    """Take archives of checkpoints that another PetriHub has signed."""
    from petrihub_cli.checkpoint_files import trust as trust_now
    from petrihub_cli.state import find_state

    asyncio.run(trust_now(find_state(state), key, title, end=end))


@checkpoints_app.command("key")
def key(state: StateOption = Path(".petrihub")) -> None:
    """Print the key that signs this PetriHub's archives, and the keys that it trusts."""
    from petrihub_cli.checkpoint_files import keys
    from petrihub_cli.state import find_state

    asyncio.run(keys(find_state(state)))
