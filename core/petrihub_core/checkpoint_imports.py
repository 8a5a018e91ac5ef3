"""Archives of checkpoints on their way in: received in parts, then checked and kept.

The image service does the checking (`petrihub_images.importing`).
"""

import errno
import os
import shutil
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit, feed
from petrihub_core.checkpoint_import_records import CheckpointImport
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Conflict, NotFound, Refused
from petrihub_core.feed import Line
from petrihub_core.records import Person, now
from petrihub_core.web import PORTAL_PREFIX

LARGEST = 64 * 2**30
PART = 8 * 2**20
_RECEIVING = timedelta(minutes=30)  # from one part to the next
_CHECKING = timedelta(hours=2)


class Step(StrEnum):
    """Where an import is."""

    RECEIVING = "receiving"
    CHECKING = "checking"
    DONE = "done"
    FAILED = "failed"


OPEN = (Step.RECEIVING, Step.CHECKING)


def file_of(deployment: Deployment, import_id: str) -> Path:
    """Where an archive lies while it is received and checked."""
    return deployment.state / "images" / "imports" / f"{import_id}.tar"


async def begin(
    session: AsyncSession, deployment: Deployment, actor: str, person: Person, size: int
) -> CheckpointImport:
    """Make room for an archive of so many bytes; raises in words if that cannot be."""
    if not 0 < size <= LARGEST:
        raise Refused(f"An archive has at most {LARGEST // 2**30} GiB.")
    going_on = await session.scalars(
        select(CheckpointImport).where(
            CheckpointImport.owner == person.id, CheckpointImport.state.in_(OPEN)
        )
    )
    for other in going_on:
        if other.state == Step.CHECKING:
            raise Conflict("Another import of yours is checked now.", hint="Wait until it is.")
        # left when a page was closed
        other.state, other.reason = Step.FAILED, "Another import was begun."
        file_of(deployment, other.id).unlink(missing_ok=True)
    row = CheckpointImport(owner=person.id, actor=actor, size=size, deadline=now() + _RECEIVING)
    file = file_of(deployment, row.id)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    coming = await session.scalar(
        select(func.sum(CheckpointImport.size - CheckpointImport.received)).where(
            CheckpointImport.state == Step.RECEIVING
        )
    )
    require_space(file.parent, int(coming or 0) + 3 * size)  # it goes to the image server too
    session.add(row)
    await session.flush()
    await _note(session, row, "begun", size=size)
    return row


def require_space(folder: Path, size: int) -> None:
    """Raise `Refused` in words unless so many bytes fit on the folder's disk."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise Refused(
            f"The server's disk has no space for it: it may take {size / 2**30:.1f} GiB, and "
            f"{free / 2**30:.1f} GiB are free.",
            hint="Tell the administrator.",
        )


async def mine(
    session: AsyncSession, owner: str, import_id: str, *, lock: bool = False
) -> CheckpointImport:
    """The person's own import; raises `NotFound`."""
    row = await session.get(CheckpointImport, import_id, with_for_update=lock or None)
    if row is None or row.owner != owner:
        raise NotFound("You have no such import.", hint="Begin again.")
    return row


def receive(deployment: Deployment, row: CheckpointImport, offset: int, part: bytes) -> None:
    """Take the next part; raises `Conflict` for one that does not follow, `Refused` if too long.

    Blocks.
    """
    if row.state != Step.RECEIVING:
        raise Conflict("This import takes nothing more.")
    if offset != row.received:
        raise Conflict(f"The next part begins at {row.received}.")
    if not part or len(part) > PART or offset + len(part) > row.size:
        raise Refused("This part is not as long as it should be.")
    descriptor = os.open(file_of(deployment, row.id), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        if os.pwrite(descriptor, part, offset) != len(part):
            raise _full()
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full() from exc
        raise
    finally:
        os.close(descriptor)
    row.received += len(part)
    row.deadline = now() + _RECEIVING
    if row.received == row.size:
        received_whole(row)


def _full() -> Conflict:
    return Conflict("The server's disk has no space for it.", hint="Tell the administrator.")


def received_whole(row: CheckpointImport) -> None:
    """All of it is here: it is checked from now on."""
    row.received = row.size
    row.state, row.deadline = Step.CHECKING, now() + _CHECKING


async def fail(session: AsyncSession, row: CheckpointImport, reason: str) -> None:
    """End an import without a checkpoint, and say so."""
    row.state, row.reason = Step.FAILED, reason[:2000]
    await _note(session, row, "failed", reason=reason[:500])
    line = Line(
        kind=feed.Kind.FAILED,
        title="A checkpoint could not be imported",
        text=reason,
        link=f"{PORTAL_PREFIX}checkpoints",
        link_title="Try again",
        key=f"checkpoint-import:{row.id}",
    )
    await feed.tell(session, row.owner, line)


async def _note(session: AsyncSession, row: CheckpointImport, what: str, **more: str | int) -> None:
    await audit.record(
        session,
        actor=row.actor,
        action=f"checkpoint.import.{what}",
        target=f"{row.owner}/{row.id}",
        detail={**more},
    )
