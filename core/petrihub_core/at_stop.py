"""Saving a workspace when it stops: its container is kept until what was changed is saved.

The order to save it is the record that something is kept: written before anything is stopped, and
open until it is saved, or until the owner has said that it may be lost.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import checkpoints, feed, instances
from petrihub_core.checkpoint_records import Checkpoint, SidecarInstance
from petrihub_core.checkpoint_sharing import require_savable
from petrihub_core.checkpoints import OPEN, SAVE, SYSTEM, State
from petrihub_core.errors import Conflict, NotAllowed
from petrihub_core.feed import Line
from petrihub_core.instances import Enrolment
from petrihub_core.intents import DONE, START
from petrihub_core.records import IntentRow, Person, now

GONE = "Its container is not there any more, so what was changed in it is lost."


async def ask(session: AsyncSession, owner: str, workspace: str) -> Checkpoint | None:
    """Order that the workspace be saved, which is about to stop or has ended by itself.

    None if it is not to be saved: its profile does not say so and no save is under way. Twice is
    fine. A save that is under way becomes this one, and is carried out after the stop.
    """
    await session.execute(select(Person.id).where(Person.id == owner).with_for_update())
    if (kept := await kept_of(session, owner, workspace)) is not None:
        return kept
    instance = await instances.of_workspace(session, owner, workspace)
    if instance is None or not await _was_ready(session, instance):
        return None
    open_ones = await checkpoints.open_of(session, owner, workspace)
    under_way = [each for each in open_ones if _is_under_way(each)]
    if not under_way and not instance.saves_at_stop:
        return None
    for each in open_ones:
        if each not in under_way:
            await checkpoints.end(session, each, "The workspace stopped.", told=False)
    order = under_way[0] if under_way else await _new(session, instance)
    order.at_stop = True
    await instances.revoke(session, owner, workspace)
    _again(order)
    return order


def _is_under_way(order: Checkpoint) -> bool:
    return order.kind == SAVE and order.state in (State.ASKED, State.SAVING)


async def _was_ready(session: AsyncSession, instance: SidecarInstance) -> bool:
    start = await session.get(IntentRow, instance.intent)
    return start is not None and start.state == DONE


async def _new(session: AsyncSession, instance: SidecarInstance) -> Checkpoint:
    moment = now()
    order = Checkpoint(
        owner=instance.owner,
        workspace=instance.workspace,
        sequence=await checkpoints.next_sequence(session, instance.owner, instance.workspace),
        name=f"When it stopped, {moment:%Y-%m-%d %H:%M}",
        author=SYSTEM,
        instance=instance.id,
        parent_id=await checkpoints.parent_of(session, instance),
        profile=instance.profile,
        size=instance.size,
        base_image=instance.base_image,
        base_digest=instance.base_digest,
        kind=SAVE,
        deadline=moment,
    )
    session.add(order)
    await session.flush()
    await checkpoints.note(session, SYSTEM, order, "asked")
    return order


def _again(order: Checkpoint) -> None:
    """It is carried out from its beginning, by a helper that comes next."""
    order.state, order.attempts, order.given_until = State.ASKED, 0, None
    order.deadline = now() + checkpoints.ASKED_WITHIN


async def kept_of(session: AsyncSession, owner: str, workspace: str) -> Checkpoint | None:
    """The open order to save what has stopped; None if nothing of it is kept."""
    return await session.scalar(
        select(Checkpoint)
        .where(
            Checkpoint.owner == owner,
            Checkpoint.workspace == workspace,
            Checkpoint.at_stop,
            Checkpoint.state.in_(OPEN),
        )
        .limit(1)
    )


async def all_kept(session: AsyncSession, owner: str | None = None) -> Sequence[Checkpoint]:
    """Every open order to save what has stopped, of everybody or of one person, oldest first."""
    query = select(Checkpoint).where(Checkpoint.at_stop, Checkpoint.state.in_(OPEN))
    if owner is not None:
        query = query.where(Checkpoint.owner == owner)
    return (await session.scalars(query.order_by(Checkpoint.created_at))).all()


async def require_none(session: AsyncSession, owner: str, workspace: str) -> None:
    """Raise `Conflict` in words while something of this workspace is kept."""
    order = await kept_of(session, owner, workspace)
    if order is None:
        return
    if order.state in (State.ASKED, State.MEASURING, State.SAVING):
        raise Conflict(
            f"What was changed in {workspace} is being saved.", hint="Start it when that is done."
        )
    raise Conflict(
        f"What was changed in {workspace} is not saved yet. {order.reason}".strip(),
        hint="Look at its checkpoints: you can also discard what you changed.",
    )


async def hand_over(session: AsyncSession, order_id: str) -> str | None:
    """The credential of a new helper for this order; the one before it has none any more.

    None if the order needs no helper now.
    """
    order = await session.get(Checkpoint, order_id, with_for_update=True)
    if order is None or order.state not in (State.ASKED, State.MEASURING, State.SAVING):
        return None
    before = await session.get(SidecarInstance, order.instance)
    credential = await instances.enrol(
        session,
        Enrolment(
            owner=order.owner,
            workspace=order.workspace,
            intent=order.id,
            profile=order.profile,
            size=order.size,
            base_image=order.base_image,
            base_digest=order.base_digest,
            checkpoint_id=before.checkpoint_id if before else None,
        ),
    )
    order.instance = instances.id_in(credential)
    _again(order)
    return credential


async def refused(session: AsyncSession, order: Checkpoint) -> bool:
    """Whether it may not be saved now: what it was started from is not shared (any more).

    Then this try has come to nothing. What has stopped is kept, since it may be shared again, and
    its owner is told once that it waits for that.
    """
    start = await session.get(SidecarInstance, order.instance)
    if start is None:
        return False
    try:
        await require_savable(session, start)
    except NotAllowed as exc:
        if order.at_stop:
            await _tell_refused(session, order, exc)
        await checkpoints.fail(session, order, exc.jupyterhub_message)
        return True
    return False


async def _tell_refused(session: AsyncSession, order: Checkpoint, why: NotAllowed) -> None:
    told = "refused" if order.failures else "waits"  # in the place of what a first failure tells
    line = Line(
        kind=feed.Kind.FAILED,
        title=f"{order.workspace} waits to be saved",
        text=f"{why.jupyterhub_message} What else you changed is kept too, until it can be saved "
        "or you discard it.",
        link=checkpoints.page_of(order.workspace),
        link_title="Look at it",
        key=f"checkpoint-{told}:{order.id}",
    )
    await feed.tell(session, order.owner, line)


async def lost(session: AsyncSession, order_id: str) -> None:
    """Nothing is there any more that could be saved."""
    order = await session.get(Checkpoint, order_id, with_for_update=True)
    if order is not None and order.state in OPEN:
        await checkpoints.end(session, order, GONE)


async def saved_last(session: AsyncSession, owner: str, workspace: str) -> Checkpoint | None:
    """What was saved when the newest run of this workspace stopped: the next one goes on with it.

    None if that run was not saved.
    """
    begun: datetime | None = await session.scalar(
        select(IntentRow.started_at)
        .where(
            IntentRow.workspace == f"{owner}/{workspace}",
            IntentRow.kind == START,
            IntentRow.state == DONE,
        )
        .order_by(IntentRow.started_at.desc())
        .limit(1)
    )
    if begun is None:
        return None
    return await session.scalar(
        select(Checkpoint)
        .where(
            Checkpoint.owner == owner,
            Checkpoint.workspace == workspace,
            Checkpoint.at_stop,
            Checkpoint.state == State.DONE,
            Checkpoint.created_at >= begun,
        )
        .order_by(Checkpoint.sequence.desc())
        .limit(1)
    )


async def options_to_go_on(
    session: AsyncSession, owner: str, workspace: str, options: dict[str, str]
) -> dict[str, str]:
    """The choices of the last start, going on with what was saved at its stop, if it was."""
    last = await saved_last(session, owner, workspace)
    if last is None or last.profile != options.get("profile", last.profile):
        return options
    return {**options, "checkpoint": last.id}
