"""`petrihub audit`: verify and export the audit trail without a browser."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer

from petrihub_cli.state import find_state
from petrihub_core import audit, audit_heads
from petrihub_core.audit import Flaw, Place
from petrihub_core.audit_heads import HeadsFile
from petrihub_core.audit_search import Filter, csv_lines, json_lines
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Conflict, Unavailable
from petrihub_portal.audit_checks import heads_file

audit_app = typer.Typer(help="Verify and export the audit trail.")

_STATE = Path(".petrihub")
_StateOption = Annotated[
    Path,
    typer.Option("--state", envvar="PETRIHUB_STATE", help="Folder that holds all state."),
]


async def _verify(database: Database, kept: HeadsFile) -> Flaw | Place:
    heads = kept.all()
    place = Place()
    while True:
        async with database.reading() as session:
            reached = await audit.verify_step(session, place)
        if isinstance(reached, Flaw):
            return reached
        if reached == place:
            break
        place = reached
    async with database.reading() as session:
        return await audit_heads.check(session, heads) or place


@audit_app.command("verify")
def verify(state: _StateOption = _STATE) -> None:
    """Read the whole trail; exit code 1 and the first row that does not fit, if one does not."""
    deployment = find_state(state)

    async def work() -> Flaw | Place:
        database = Database.open(deployment.database_url)
        try:
            return await _verify(database, heads_file(deployment))
        finally:
            await database.close()

    found = asyncio.run(work())
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
    deployment = find_state(state)
    if str(out) == "-":
        asyncio.run(_write(deployment, format, sys.stdout.buffer))
        return
    try:
        # names and actions of people: for this account only
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            asyncio.run(_write(deployment, format, file))
    except FileExistsError as exc:
        raise Conflict(f"{out} is there already.", hint="Name another file.") from exc
    except OSError as exc:
        raise Unavailable(
            f"{out} cannot be written: {exc.strerror}.", hint="Name another."
        ) from exc
    typer.echo(f"Written: {out}")


async def _write(deployment: Deployment, kind: str, file: BinaryIO) -> None:
    database = Database.open(deployment.database_url)
    try:
        async with database.session() as session:
            await audit.record(
                session,
                actor="operator",
                action="audit.exported",
                target="audit",
                detail={"format": kind},
            )
        lines = json_lines if kind == "jsonl" else csv_lines
        async for piece in lines(database, Filter()):
            file.write(piece)
    finally:
        await database.close()
