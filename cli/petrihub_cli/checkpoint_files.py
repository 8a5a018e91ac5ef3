"""Checkpoints as files from the command line, and whose archives are taken."""

import asyncio
import os
import shutil
from pathlib import Path

import typer
from rich.console import Console
from rich.filesize import decimal
from sqlalchemy import or_, select

from petrihub_core import checkpoint_archive, checkpoint_imports, checkpoint_signing
from petrihub_core.checkpoint_import_records import CheckpointImport, TrustedSigner
from petrihub_core.checkpoint_imports import Step, file_of
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import State
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Conflict, NotFound
from petrihub_core.image_server import require_image_server
from petrihub_core.people import by_username

_OPERATOR = "operator"
_LOOK_SECONDS = 0.5


async def export(deployment: Deployment, checkpoint: str, target: Path) -> None:
    """Write a checkpoint, named by its id or digest, to a file; a file that is there is kept."""
    require_image_server(deployment)
    named = or_(Checkpoint.id == checkpoint, Checkpoint.manifest_digest == checkpoint)
    async with Database.open(deployment.database_url) as database, database.session() as session:
        query = select(Checkpoint).where(named, Checkpoint.state == State.DONE)
        row = (await session.scalars(query.limit(1))).first()
        if row is None:
            raise NotFound(
                "There is no such checkpoint.", hint="`petrihub checkpoints list` prints digests."
            )
        await checkpoint_archive.require_exportable(session, _OPERATOR, row, None)
        about = await checkpoint_archive.describe(session, row)
    size = await asyncio.to_thread(_write, deployment, row, about, target)
    typer.echo(f"{target}: {row.name}, {decimal(size)}")


def _write(deployment: Deployment, row: Checkpoint, about: dict[str, object], target: Path) -> int:
    if target.exists():
        raise Conflict(f"{target} is there already.", hint="Choose another name.")
    made = checkpoint_archive.archive(deployment, row, about)
    fresh = target.with_name(f".{target.name}.part")
    try:
        with fresh.open("wb") as file:
            for piece in made.pieces:
                file.write(piece)
        fresh.rename(target)
        return made.size
    finally:
        fresh.unlink(missing_ok=True)


async def bring(deployment: Deployment, archive: Path, username: str) -> None:
    """Import an archive for somebody and wait until it is checked; raises in words if it is not."""
    require_image_server(deployment)
    async with Database.open(deployment.database_url) as database:
        async with database.session() as session:
            person = await by_username(session, username)
            if person is None:
                raise NotFound("There is no such person.", hint="Names are those of the sign-in.")
            size = await asyncio.to_thread(os.path.getsize, archive)
            row = await checkpoint_imports.begin(session, deployment, _OPERATOR, person, size)
        await asyncio.to_thread(shutil.copyfile, archive, file_of(deployment, row.id))
        async with database.session() as session:
            row = await session.get_one(CheckpointImport, row.id)
            checkpoint_imports.received_whole(row)
        while row.state in checkpoint_imports.OPEN:
            await asyncio.sleep(_LOOK_SECONDS)
            async with database.reading() as session:
                row = await session.get_one(CheckpointImport, row.id)
        if row.state != Step.DONE:
            raise Conflict(f"It was not imported: {row.reason}")
        async with database.reading() as session:
            made = await session.get_one(Checkpoint, row.result_id)
    typer.echo(f"Imported for {username}: {made.name}, {decimal(made.layer_size)}")


async def trust(deployment: Deployment, key: str, title: str, *, end: bool) -> None:
    """Take archives that this key signed, or take none any more."""
    async with Database.open(deployment.database_url) as database, database.session() as session:
        if end:
            await checkpoint_signing.distrust(session, _OPERATOR, key)
        else:
            await checkpoint_signing.trust(session, _OPERATOR, key, title)
    typer.echo("Not trusted any more." if end else "Trusted.")


async def keys(deployment: Deployment) -> None:
    """Print the own key, and those that are trusted."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{checkpoint_signing.own_signer(deployment)}  this PetriHub")
    async with Database.open(deployment.database_url) as database, database.reading() as session:
        for row in await session.scalars(select(TrustedSigner).order_by(TrustedSigner.at)):
            console.print(f"{row.key}  {row.title}, trusted by {row.by} {row.at:%Y-%m-%d}")
