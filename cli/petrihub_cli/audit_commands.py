"""`petrihub audit`: verify and export the audit trail without a browser."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

audit_app = typer.Typer(help="Verify and export the audit trail.")

_STATE = Path(".petrihub")
_StateOption = Annotated[
    Path,
    typer.Option("--state", envvar="PETRIHUB_STATE", help="Folder that holds all state."),
]


@audit_app.command("verify")
def verify(state: _StateOption = _STATE) -> None:
    """Read the whole trail; exit code 1 and the first row that does not fit, if one does not."""
    from petrihub_cli.audit import verified
    from petrihub_cli.state import find_state
    from petrihub_core.audit import Flaw

    found = asyncio.run(verified(find_state(state)))
    if isinstance(found, Flaw):
        typer.secho(f"Row {found.seq} does not fit. {found.why}", fg=typer.colors.RED, err=True)
        raise typer.Exit(1)
    typer.echo(f"The chain is whole: {found.seq} rows, newest digest {found.digest}")
    if found.turned_back:
        typer.echo(f"From row {found.turned_back} on the clock was set back.")


@audit_app.command("export")
def export(
    out: Annotated[Path, typer.Option(help="File to write; - is the terminal.")],
    format: Annotated[
        Literal["jsonl", "csv"], typer.Option(help="jsonl is exact, csv is to read.")
    ] = "jsonl",
    state: _StateOption = _STATE,
) -> None:
    """Write the whole trail, oldest row first."""
    from petrihub_cli.audit import export_to
    from petrihub_cli.state import find_state

    export_to(out, find_state(state), format)
    if str(out) != "-":
        typer.echo(f"Written: {out}")
