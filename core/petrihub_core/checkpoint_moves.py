"""Moving a checkpoint onto its image as it was built anew: asked, looked at, confirmed, done.

The image service does the work (`petrihub_images.moving`); every open state has a deadline.
"""

from datetime import timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit, checkpoints, feed
from petrihub_core.checkpoint_move_records import CheckpointMove
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoint_share_records import CheckpointPackages
from petrihub_core.checkpoints import LONGEST_NAME, SAVE, State, finish, page_of, rebuilt
from petrihub_core.errors import Conflict
from petrihub_core.feed import Line
from petrihub_core.images import allowed_images
from petrihub_core.records import Person, now

_LOOKING = timedelta(hours=1)
_CONFIRM = timedelta(hours=24)
LISTED = 1000


class Step(StrEnum):
    """Where a move is."""

    LOOKING = "looking"
    CONFIRM = "confirm"  # conflicts are known: waits for the person's word
    MOVING = "moving"
    DONE = "done"
    FAILED = "failed"


WORK = (Step.LOOKING, Step.MOVING)
OPEN = (Step.LOOKING, Step.CONFIRM, Step.MOVING)


async def ask(
    session: AsyncSession, actor: str, person: Person, checkpoint_id: str
) -> CheckpointMove:
    """Order a look at what a move would meet; one that is open already is given back.

    Raises `NotFound`, or `Conflict` where there is no newer base.
    """
    row = await checkpoints.mine(session, person.id, checkpoint_id, lock=True)
    images = list((await allowed_images(session)).values())
    if row.state != State.DONE or not rebuilt(row, images):
        raise Conflict(
            f"{row.name} stands on the newest image already.", hint="There is nothing to move."
        )
    newest = next(each.digest for each in images if each.name == row.base_image)
    known = await latest(session, row.id)
    if known is not None and known.state in OPEN and known.new_base == newest:
        return known
    if known is not None and known.state in OPEN:
        known.state, known.reason = Step.FAILED, "The image was built anew once more."
    move = CheckpointMove(
        checkpoint_id=row.id,
        owner=person.id,
        actor=actor,
        name=f"{row.name[: LONGEST_NAME - 14]} on new base",
        new_base=newest,
        deadline=now() + _LOOKING,
    )
    session.add(move)
    await session.flush()
    await _note(session, actor, row, "move.asked")
    return move


async def confirm(
    session: AsyncSession, actor: str, person: Person, checkpoint_id: str
) -> CheckpointMove:
    """Move it, whatever conflicts were listed; twice does no more than once."""
    row = await checkpoints.mine(session, person.id, checkpoint_id, lock=True)
    move = await latest(session, row.id)
    if move is not None and move.state in (Step.MOVING, Step.DONE):
        return move
    if move is None or move.state != Step.CONFIRM:
        raise Conflict("This move does not wait for an answer.", hint="Reload the page.")
    move.state, move.deadline = Step.MOVING, now() + _LOOKING
    await _note(session, actor, row, "move.confirmed", conflicts=move.conflict_count)
    return move


async def latest(session: AsyncSession, checkpoint_id: str) -> CheckpointMove | None:
    """The newest move of a checkpoint."""
    found: CheckpointMove | None = await session.scalar(
        select(CheckpointMove)
        .where(CheckpointMove.checkpoint_id == checkpoint_id)
        .order_by(CheckpointMove.asked_at.desc())
        .limit(1)
    )
    return found


async def looked(
    session: AsyncSession, move: CheckpointMove, conflicts: list[dict[str, str]]
) -> None:
    """It waits for the person's word from now on."""
    move.conflicts = [dict(each) for each in conflicts[:LISTED]]
    move.conflict_count = len(conflicts)
    move.state, move.deadline = Step.CONFIRM, now() + _CONFIRM


async def fail(session: AsyncSession, move: CheckpointMove, reason: str) -> None:
    """End a move without a new checkpoint, and say so."""
    move.state, move.reason = Step.FAILED, reason[:2000]
    row = await session.get_one(Checkpoint, move.checkpoint_id)
    line = Line(
        kind=feed.Kind.FAILED,
        title=f"{row.name} was not moved onto the new base",
        text=reason,
        link=page_of(row.workspace),
        link_title="Look at it",
        key=f"checkpoint-move:{move.id}",
    )
    await feed.tell(session, move.owner, line)


async def expire(session: AsyncSession) -> None:
    """Fail every move whose deadline is over."""
    late = select(CheckpointMove).where(
        CheckpointMove.state.in_(OPEN), CheckpointMove.deadline <= now()
    )
    for move in await session.scalars(late.with_for_update(skip_locked=True)):
        if move.state == Step.CONFIRM:
            move.state, move.reason = Step.FAILED, "Nobody answered whether it shall be moved."
        else:
            await fail(session, move, "It took too long. Try it again.")


async def done(session: AsyncSession, move: CheckpointMove, manifest_digest: str) -> Checkpoint:
    """Record the new checkpoint, whose parent is the old one; twice is once."""
    old = await session.get_one(Checkpoint, move.checkpoint_id, with_for_update=True)
    if (known := await session.get(Checkpoint, move.result_id)) is not None:
        return known
    made = Checkpoint(
        id=move.result_id,
        owner=old.owner,
        workspace=old.workspace,
        sequence=await checkpoints.next_sequence(session, old.owner, old.workspace),
        name=move.name,
        message=old.message,
        author=move.actor,
        instance=old.instance,
        parent_id=old.id,
        profile=old.profile,
        size=old.size,
        base_image=old.base_image,
        base_digest=move.new_base,
        kind=SAVE,
        prepared=True,
        summary=dict(old.summary),
        changes=list(old.changes),
        findings=list(old.findings),
        accepted=list(old.accepted),
        manifest_digest=manifest_digest,
        layer_digest=old.layer_digest,
        layer_size=old.layer_size,
        deadline=now(),
    )
    session.add(made)
    await session.flush()
    kept = await session.get(CheckpointPackages, old.id)
    if kept is not None:
        session.add(CheckpointPackages(checkpoint_id=made.id, packages=list(kept.packages)))
    move.state = Step.DONE
    await finish(session, made)
    return made


async def _note(session: AsyncSession, actor: str, row: Checkpoint, what: str, **more: int) -> None:
    await audit.record(
        session,
        actor=actor,
        action=f"checkpoint.{what}",
        target=f"{row.owner}/{row.workspace}/{row.id}",
        detail={"name": row.name, **more},
    )
