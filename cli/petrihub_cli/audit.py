"""Verifying and exporting the audit trail without a browser."""

import asyncio
import os
import sys
from pathlib import Path
from typing import BinaryIO

from petrihub_core import audit, audit_heads
from petrihub_core.audit import Flaw, Place
from petrihub_core.audit_heads import HeadsFile
from petrihub_core.audit_search import Filter, csv_lines, json_lines
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Conflict, Unavailable
from petrihub_portal.audit_checks import heads_file


async def verified(deployment: Deployment) -> Flaw | Place:
    """The first row that does not fit, or the end of a chain that is whole."""
    async with Database.open(deployment.database_url) as database:
        return await _verify(database, heads_file(deployment))


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


def export_to(out: Path, deployment: Deployment, kind: str) -> None:
    """Write the whole trail into a new file, or to the terminal if `out` is -."""
    if str(out) == "-":
        asyncio.run(_write(deployment, kind, sys.stdout.buffer))
        return
    try:
        # names and actions of people: for this account only
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            asyncio.run(_write(deployment, kind, file))
    except FileExistsError as exc:
        raise Conflict(f"{out} is there already.", hint="Name another file.") from exc
    except OSError as exc:
        raise Unavailable(
            f"{out} cannot be written: {exc.strerror}.", hint="Name another."
        ) from exc


async def _write(deployment: Deployment, kind: str, file: BinaryIO) -> None:
    async with Database.open(deployment.database_url) as database:
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
