"""Checkpoints as files: taken away whole, and brought in part by part."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import File, Form, Path, UploadFile
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import iterate_in_threadpool

from petrihub_core import checkpoint_archive, checkpoint_imports, feed
from petrihub_core.checkpoint_access import seen
from petrihub_core.checkpoint_import_records import CheckpointImport
from petrihub_core.checkpoint_imports import LARGEST, PART, Step
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import page_of
from petrihub_core.errors import PetriHubError, Unsupported
from petrihub_core.feed import Line
from petrihub_core.web import PORTAL_PREFIX
from petrihub_portal.routing import Area, Open
from petrihub_portal.saved import unavailable
from petrihub_portal.visit import CurrentVisit, Visit

area = Area("Checkpoints")

Id = Annotated[str, Path(max_length=64)]
_FORM = 64 * 1024  # bytes around a part


class NewImport(BaseModel):
    """An archive that will be sent in parts; `size` is that of the whole, in bytes."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(gt=0, le=LARGEST)


class ImportModel(BaseModel):
    """How far an import is; `result` is the new checkpoint's id when it is done.

    The next part begins at `received`, and has at most `part_size` bytes.
    """

    id: str
    state: Step
    size: int
    received: int
    part_size: int
    reason: str
    result: str | None


def _model(row: CheckpointImport) -> ImportModel:
    return ImportModel(
        id=row.id,
        state=Step(row.state),
        size=row.size,
        received=row.received,
        part_size=PART,
        reason=row.reason,
        result=row.result_id if row.state == Step.DONE else None,
    )


def _require_server(visit: Visit) -> None:
    if why := unavailable(visit.portal):
        raise Unsupported(why)


@asynccontextmanager
async def _told(visit: Visit, row: Checkpoint) -> AsyncIterator[None]:
    """Why an export ends is told in the feed too: a browser shows no words for a download."""
    try:
        yield
    except PetriHubError as exc:
        line = Line(
            kind=feed.Kind.FAILED,
            title=f"{row.name} could not be exported",
            text=exc.jupyterhub_message,
            link=page_of(row.workspace)
            if row.owner == visit.me.id
            else f"{PORTAL_PREFIX}checkpoints",
            link_title="Look at it",
        )
        async with visit.portal.database.session() as session:
            await feed.tell(session, visit.me.id, line)
        raise


async def _watched(visit: Visit, row: Checkpoint, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    async with _told(visit, row):
        async for piece in iterate_in_threadpool(pieces):
            yield piece


@area.api(
    "GET",
    "/my/checkpoints/{checkpoint_id}/export",
    needs=Open.SIGNED_IN,
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "An OCI image layout in a tar, with our signature beside its index.",
            "content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def export(visit: CurrentVisit, checkpoint_id: Id) -> Response:
    """A checkpoint as one file: mine, or one on which I may build."""
    async with visit.portal.database.session() as session:
        row, shared = await seen(session, visit.me.id, checkpoint_id)
        _require_server(visit)
        await checkpoint_archive.require_exportable(session, visit.actor.name, row, shared)
        about = await checkpoint_archive.describe(session, row)
    deployment = visit.portal.deployment
    async with _told(visit, row):
        made = await asyncio.to_thread(checkpoint_archive.archive, deployment, row, about)
    return StreamingResponse(
        _watched(visit, row, made.pieces),
        media_type="application/x-tar",
        headers={
            "Content-Length": str(made.size),
            "Content-Disposition": f'attachment; filename="{made.name}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


@area.api("POST", "/my/checkpoint-imports", needs=Open.SIGNED_IN, status_code=201)
async def begin(visit: CurrentVisit, wanted: NewImport) -> ImportModel:
    """Begin to send an archive."""
    _require_server(visit)
    async with visit.portal.database.session() as session:
        row = await checkpoint_imports.begin(
            session, visit.portal.deployment, visit.actor.name, visit.me, wanted.size
        )
        return _model(row)


@area.api(
    "POST",
    "/my/checkpoint-imports/{import_id}/parts",
    needs=Open.SIGNED_IN,
    max_body=PART + _FORM,
)
async def receive(
    visit: CurrentVisit,
    import_id: Id,
    offset: Annotated[int, Form(ge=0, le=LARGEST)],
    part: Annotated[UploadFile, File()],
) -> ImportModel:
    """The next part of an archive; after the last one it is checked."""
    content = await part.read()
    async with visit.portal.database.session() as session:
        row = await checkpoint_imports.mine(session, visit.me.id, import_id, lock=True)
        await asyncio.to_thread(
            checkpoint_imports.receive, visit.portal.deployment, row, offset, content
        )
        return _model(row)


@area.api("GET", "/my/checkpoint-imports/{import_id}", needs=Open.SIGNED_IN)
async def state(visit: CurrentVisit, import_id: Id) -> ImportModel:
    """How far an import is."""
    async with visit.portal.database.reading() as session:
        return _model(await checkpoint_imports.mine(session, visit.me.id, import_id))
