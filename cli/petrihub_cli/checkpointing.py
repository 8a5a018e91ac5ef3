"""Saving somebody's workspace from the command line, and the list of what is saved."""

import asyncio

import typer
from rich.console import Console
from rich.filesize import decimal
from sqlalchemy import select

from petrihub_core import checkpoints
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import OPEN, State, Wish
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Conflict, NotFound, Refused
from petrihub_core.image_server import require_image_server
from petrihub_core.people import by_username
from petrihub_core.records import Person

_OPERATOR = "operator"
_LOOK_SECONDS = 1.0


async def save(deployment: Deployment, workspace: str, wish: Wish) -> None:
    """Save a running workspace and wait until it is read back; raises `Conflict` if it is not."""
    require_image_server(deployment)
    username, _, name = workspace.partition("/")
    if not name:
        raise Refused("Name the person and the workspace.", hint="As in: ada/study")
    console = Console(highlight=False, soft_wrap=True)
    async with Database.open(deployment.database_url) as database:
        async with database.session() as session:
            person = await by_username(session, username)
            if person is None:
                raise NotFound("There is no such person.", hint="Names are those of the sign-in.")
            wish = Wish(name=wish.name, message=wish.message, measure_first=False)
            row = await checkpoints.ask(session, _OPERATOR, person, name, wish)
        shown = ""
        while row.state in OPEN and row.state != State.CONFIRM:
            words = str(row.progress.get("stage") or row.state)
            if words != shown:
                console.print(f"[dim]·[/dim] {words}")
                shown = words
            await asyncio.sleep(_LOOK_SECONDS)
            async with database.reading() as session:
                row = await session.get_one(Checkpoint, row.id)
    if row.state == State.CONFIRM:
        paths = "\n".join(str(each["path"]) for each in row.findings[:20])
        raise Conflict(
            f"These files look as if they held keys or passwords:\n{paths}",
            hint="The owner says on the page Checkpoints whether they shall be saved.",
        )
    if row.state != State.DONE:
        raise Conflict(f"It was not saved: {row.reason}")
    console.print(f"Saved: {row.name}, {decimal(row.layer_size)}, {row.manifest_digest}")


async def show(deployment: Deployment, username: str) -> None:
    """Print what is saved, of everybody or of one person."""
    query = (
        select(Person.username, Checkpoint)
        .join(Person, Person.id == Checkpoint.owner)
        .where(Checkpoint.state == State.DONE)
        .order_by(Checkpoint.created_at)
    )
    if username:
        query = query.where(Person.username == username)
    async with Database.open(deployment.database_url) as database, database.reading() as session:
        rows = (await session.execute(query)).all()
    for owner, row in rows:
        about = (f"{owner}/{row.workspace}", row.name, f"{row.created_at:%Y-%m-%d %H:%M} UTC")
        typer.echo("  ".join((*about, decimal(row.layer_size), row.manifest_digest)))
    if not rows:
        typer.echo("Nothing is saved.")
