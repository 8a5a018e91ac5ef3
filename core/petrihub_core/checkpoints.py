"""Checkpoints: the orders to save a workspace's environment, and what became of them.

An order is a row: whoever asks writes it, the image service sees that it is carried out. Every
open state has a deadline. Of several orders for one workspace the newest counts. An order to save
what has stopped never fails: it waits and is tried again (see `petrihub_core.at_stop`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from urllib.parse import quote

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from petrihub_core import audit, feed, instances
from petrihub_core.checkpoint_records import Checkpoint, SidecarInstance
from petrihub_core.checkpoint_sharing import require_savable
from petrihub_core.errors import Conflict, NotFound, Refused
from petrihub_core.feed import Line
from petrihub_core.records import Person, WorkspaceImage, now
from petrihub_core.web import PORTAL_PREFIX

LONGEST_NAME = 64
LONGEST_MESSAGE = 1000
MEASURE, SAVE = "measure", "save"
ASKED_WITHIN = timedelta(minutes=10)  # until the helper must have taken it
_CONFIRM = timedelta(hours=24)  # until the person must have answered
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=15), timedelta(minutes=10)  # between two tries
_NO_ANSWER = "The helper that saves did not answer."
SYSTEM = "petrihub"


class State(StrEnum):
    """Where an order is."""

    ASKED = "asked"
    MEASURING = "measuring"
    CONFIRM = "confirm"  # measured: waits for the person's word
    SAVING = "saving"
    WAITING = "waiting"  # to be tried again: what has stopped is kept until it is saved
    DONE = "done"
    FAILED = "failed"
    DELETING = "deleting"  # shown to nobody; the image server has still to forget it


OPEN = (State.ASKED, State.MEASURING, State.CONFIRM, State.SAVING, State.WAITING)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What to save under; `measure_first` asks the person again when the size is known."""

    name: str
    message: str = ""
    measure_first: bool = True


async def ask(
    session: AsyncSession, actor: str, person: Person, workspace: str, wish: Wish
) -> Checkpoint:
    """Order that the running workspace be saved; an order that is still open gives way.

    Raises `Refused` without a name, `Conflict` if the workspace cannot be saved now, `NotAllowed`
    if it was started from what somebody shares read-only, or not any more.
    """
    name, message = _words(wish)
    # one after the other: the sequence counts what is committed
    await session.execute(select(Person.id).where(Person.id == person.id).with_for_update())
    instance = await instances.of_workspace(session, person.id, workspace)
    if instance is None:
        raise Conflict(
            f"{workspace} cannot be saved now.",
            hint="Only what runs can be saved. Start it; if it runs, stop it and start it again.",
        )
    await require_savable(session, instance)
    for older in await open_of(session, person.id, workspace):
        await fail(session, older, "A newer save of this workspace took its place.", told=False)
    checkpoint = Checkpoint(
        owner=person.id,
        workspace=workspace,
        sequence=await next_sequence(session, person.id, workspace),
        name=name,
        message=message,
        author=actor,
        instance=instance.id,
        parent_id=await parent_of(session, instance),
        profile=instance.profile,
        size=instance.size,
        base_image=instance.base_image,
        base_digest=instance.base_digest,
        kind=MEASURE if wish.measure_first else SAVE,
        deadline=now() + ASKED_WITHIN,
    )
    session.add(checkpoint)
    await session.flush()
    await note(session, actor, checkpoint, "asked")
    return checkpoint


async def confirm(
    session: AsyncSession, actor: str, person: Person, checkpoint_id: str
) -> Checkpoint:
    """Save what was measured, with the files that were warned of; raises `Conflict` if it cannot.

    Confirming twice does no more than once.
    """
    checkpoint = await mine(session, person.id, checkpoint_id, lock=True)
    if checkpoint.state in (State.SAVING, State.DONE) or (
        checkpoint.state == State.ASKED and checkpoint.kind == SAVE
    ):
        return checkpoint
    if checkpoint.state != State.CONFIRM:
        raise Conflict("This save does not wait for an answer.", hint="Reload the page.")
    checkpoint.kind, checkpoint.state = SAVE, State.ASKED
    checkpoint.accepted = [str(each.get("path", "")) for each in checkpoint.findings]
    checkpoint.progress, checkpoint.attempts = {}, 0
    checkpoint.given_until, checkpoint.deadline = None, now() + ASKED_WITHIN
    await note(session, actor, checkpoint, "confirmed", warned=len(checkpoint.accepted))
    return checkpoint


async def give_up(
    session: AsyncSession, actor: str, person: Person, checkpoint_id: str
) -> Checkpoint:
    """Give an open order up; what a workspace that has stopped would have saved is lost then."""
    checkpoint = await mine(session, person.id, checkpoint_id, lock=True)
    if checkpoint.state in OPEN:
        await end(session, checkpoint, f"{actor} cancelled it.", told=False)
    return checkpoint


async def delete(
    session: AsyncSession, actor: str, person: Person, checkpoint_id: str
) -> Checkpoint:
    """Forget a checkpoint that nothing stands on; raises `Conflict` in words if something does."""
    checkpoint = await mine(session, person.id, checkpoint_id, lock=True)
    if checkpoint.state in OPEN:
        raise Conflict("This is still being saved.", hint="Cancel it first.")
    if checkpoint.at_stop:  # nobody chose to make it: what was made from it moves up
        above = update(Checkpoint).where(Checkpoint.parent_id == checkpoint.id)
        await session.execute(above.values(parent_id=checkpoint.parent_id))
    child = await session.scalar(
        select(Checkpoint.name).where(
            Checkpoint.parent_id == checkpoint.id,
            Checkpoint.owner == person.id,  # what others made of it stands without it
            Checkpoint.state.in_([*OPEN, State.DONE]),
        )
    )
    if child is not None:
        raise Conflict(f"{child} was made from {checkpoint.name}.", hint=f"Delete {child} first.")
    for instance in await session.scalars(
        select(SidecarInstance).where(
            SidecarInstance.owner == person.id, SidecarInstance.checkpoint_id == checkpoint.id
        )
    ):
        if await instances.is_alive(session, instance):
            raise Conflict(
                f"{instance.workspace} runs from {checkpoint.name}.", hint="Stop it first."
            )
        instance.checkpoint_id = None  # what is kept of its run can be saved without it
    await note(session, actor, checkpoint, "deleted")
    if checkpoint.state == State.DONE:
        checkpoint.state = State.DELETING
    else:
        await session.delete(checkpoint)
    return checkpoint


async def listed(
    session: AsyncSession, owner: str, workspace: str | None = None
) -> Sequence[Checkpoint]:
    """Somebody's checkpoints and orders, newest first; without the lists of changed files."""
    query = select(Checkpoint).where(Checkpoint.owner == owner, Checkpoint.state != State.DELETING)
    if workspace is not None:
        query = query.where(Checkpoint.workspace == workspace)
    newest_first = query.order_by(Checkpoint.created_at.desc(), Checkpoint.sequence.desc())
    return (await session.scalars(newest_first.options(defer(Checkpoint.changes)))).all()


async def restorable(session: AsyncSession, owner: str) -> tuple[Checkpoint, ...]:
    """The checkpoints that somebody may continue from, newest first."""
    return tuple(each for each in await listed(session, owner) if each.state == State.DONE)


async def mine(
    session: AsyncSession, owner: str, checkpoint_id: str, *, lock: bool = False
) -> Checkpoint:
    """The person's own checkpoint; raises `NotFound`, also for what is somebody else's."""
    found = await session.get(Checkpoint, checkpoint_id, with_for_update=lock or None)
    if found is None or found.owner != owner or found.state == State.DELETING:
        raise NotFound(
            "You have no such checkpoint.", hint="It may have been deleted. Reload the page."
        )
    return found


async def fail(
    session: AsyncSession, checkpoint: Checkpoint, reason: str, *, told: bool = True
) -> None:
    """A try came to nothing: the order ends, but for one at a stop, which is tried again."""
    if checkpoint.at_stop:
        await _put_off(session, checkpoint, reason)
    else:
        await end(session, checkpoint, reason, told=told)


async def _put_off(session: AsyncSession, checkpoint: Checkpoint, reason: str) -> None:
    """Keep what has stopped, and try again after a pause; the owner is told once."""
    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(checkpoint.failures, 10))
    checkpoint.state, checkpoint.reason = State.WAITING, reason[:2000]
    checkpoint.failures, checkpoint.attempts = checkpoint.failures + 1, 0
    checkpoint.progress, checkpoint.prepared = {}, False
    checkpoint.given_until, checkpoint.deadline = None, now() + pause
    await feed.tell(
        session,
        checkpoint.owner,
        Line(
            kind=feed.Kind.FAILED,
            title=f"{checkpoint.workspace} waits to be saved",
            text=f"{reason} What you changed is kept, and it is tried again until it is saved.",
            link=page_of(checkpoint.workspace),
            link_title="Look at it",
            key=f"checkpoint-waits:{checkpoint.id}",
        ),
    )


async def end(
    session: AsyncSession, checkpoint: Checkpoint, reason: str, *, told: bool = True
) -> None:
    """End an order without a checkpoint; the owner is told, unless they did it themselves."""
    checkpoint.state, checkpoint.reason, checkpoint.ended_at = State.FAILED, reason[:2000], now()
    await audit.record(
        session,
        actor=SYSTEM,
        action="checkpoint.failed",
        target=_target(checkpoint),
        outcome="failed",
        detail={"reason": reason},
    )
    if told:
        await feed.tell(
            session,
            checkpoint.owner,
            Line(
                kind=feed.Kind.FAILED,
                title=f"{checkpoint.workspace} was not saved as {checkpoint.name}",
                text=reason,
                link=page_of(checkpoint.workspace),
                link_title="Try again",
                key=f"checkpoint-failed:{checkpoint.id}",
            ),
        )


async def measured(session: AsyncSession, checkpoint: Checkpoint) -> None:
    """It waits for the person's word from now on."""
    checkpoint.state, checkpoint.deadline = State.CONFIRM, now() + _CONFIRM
    if checkpoint.kind == SAVE:  # they do not look any more: they thought that it would be saved
        await feed.tell(
            session,
            checkpoint.owner,
            Line(
                kind=feed.Kind.ASKED,
                title=f"{checkpoint.name} waits for your answer",
                text="Files that look like keys or passwords would be in the checkpoint.",
                link=page_of(checkpoint.workspace),
                link_title="Look at them",
                key=f"checkpoint-asks:{checkpoint.id}",
            ),
        )


async def finish(session: AsyncSession, checkpoint: Checkpoint) -> None:
    """It is saved, and was read back."""
    checkpoint.state, checkpoint.ended_at = State.DONE, now()
    await note(session, SYSTEM, checkpoint, "saved", manifest=checkpoint.manifest_digest)
    await feed.tell(
        session,
        checkpoint.owner,
        Line(
            kind=feed.Kind.FINISHED,
            title=f"{checkpoint.workspace} is saved as {checkpoint.name}",
            link=page_of(checkpoint.workspace),
            link_title="Look at it",
            key=f"checkpoint-saved:{checkpoint.id}",
        ),
    )


async def expire(session: AsyncSession) -> None:
    """Fail every order whose deadline is over, or whose workspace has ended; each with a reason.

    What waits to be saved is asked for again.
    """
    rows = await session.scalars(
        select(Checkpoint).where(Checkpoint.state.in_(OPEN)).with_for_update(skip_locked=True)
    )
    for checkpoint in rows:
        if checkpoint.at_stop:
            await _expire_at_stop(session, checkpoint)
            continue
        instance = await session.get(SidecarInstance, checkpoint.instance)
        if instance is None or not await instances.is_alive(session, instance):
            await fail(session, checkpoint, "The workspace ended before it was saved.")
        elif checkpoint.deadline <= now():
            waits = checkpoint.state == State.CONFIRM
            found = str(checkpoint.progress.get("problem") or _NO_ANSWER)
            reason = "Nobody answered whether it shall be saved." if waits else found
            await fail(session, checkpoint, f"{reason} Save it again.", told=not waits)


async def _expire_at_stop(session: AsyncSession, checkpoint: Checkpoint) -> None:
    """What has stopped waits for its owner's word, and for the next try, as long as it takes."""
    if checkpoint.state == State.CONFIRM or checkpoint.deadline > now():
        return
    if checkpoint.state == State.WAITING:
        checkpoint.state, checkpoint.deadline = State.ASKED, now() + ASKED_WITHIN
    else:
        await fail(session, checkpoint, _NO_ANSWER)


def rebuilt(checkpoint: Checkpoint, images: Sequence[WorkspaceImage]) -> bool:
    """Whether the image on which it stands was built anew since."""
    newest = next((each for each in images if each.name == checkpoint.base_image), None)
    return newest is not None and newest.digest != checkpoint.base_digest


def page_of(workspace: str) -> str:
    """The page with the checkpoints of a workspace."""
    return f"{PORTAL_PREFIX}workspaces/{quote(workspace, safe='')}/checkpoints"


def _words(wish: Wish) -> tuple[str, str]:
    name, message = " ".join(wish.name.split()), wish.message.replace("\x00", "").strip()
    if not name or not name.isprintable():
        raise Refused("The checkpoint needs a name.", hint="Such as: with DESeq2 installed.")
    for words, longest, what in (
        (name, LONGEST_NAME, "name"),
        (message, LONGEST_MESSAGE, "message"),
    ):
        if len(words) > longest:
            raise Refused(f"The {what} is longer than {longest} characters.", hint="Shorten it.")
    return name, message


async def open_of(session: AsyncSession, owner: str, workspace: str) -> Sequence[Checkpoint]:
    """The orders of this workspace that have not ended; at most one, but for a moment."""
    rows = await session.scalars(
        select(Checkpoint).where(
            Checkpoint.owner == owner,
            Checkpoint.workspace == workspace,
            Checkpoint.state.in_(OPEN),
        )
    )
    return rows.all()


async def next_sequence(session: AsyncSession, owner: str, workspace: str) -> int:
    """The place of the next order of this workspace."""
    last = await session.scalar(
        select(func.max(Checkpoint.sequence)).where(
            Checkpoint.owner == owner, Checkpoint.workspace == workspace
        )
    )
    return (last or 0) + 1


async def parent_of(session: AsyncSession, instance: SidecarInstance) -> str | None:
    """The newest checkpoint of this very start, else what it was continued from."""
    latest = await session.scalar(
        select(Checkpoint.id)
        .where(Checkpoint.instance == instance.id, Checkpoint.state == State.DONE)
        .order_by(Checkpoint.sequence.desc())
        .limit(1)
    )
    if latest is not None or instance.checkpoint_id is None:
        return latest
    found = await session.get(Checkpoint, instance.checkpoint_id)
    return found.id if found is not None else None


def _target(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.owner}/{checkpoint.workspace}/{checkpoint.id}"


async def note(
    session: AsyncSession, actor: str, checkpoint: Checkpoint, what: str, **more: str | int
) -> None:
    """Write into the audit trail what became of an order."""
    await audit.record(
        session,
        actor=actor,
        action=f"checkpoint.{what}",
        target=_target(checkpoint),
        detail={"name": checkpoint.name, "kind": checkpoint.kind, **more},
    )
