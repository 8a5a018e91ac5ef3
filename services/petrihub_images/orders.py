"""What a helper asks and says about its orders, as changes of the records."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import at_stop
from petrihub_core.checkpoint_records import Checkpoint, SidecarInstance
from petrihub_core.checkpoint_share_records import CheckpointPackages
from petrihub_core.checkpoints import MEASURE, SAVE, State, fail, finish, measured
from petrihub_core.errors import Conflict, NotFound
from petrihub_core.records import now
from petrihub_images.sweep import is_swept

LEASE = timedelta(seconds=90)  # without a word the order is given again
_MEASURING = timedelta(minutes=30)
_SAVING = timedelta(hours=4)
_TRIES = 5
_MOST = 1000  # changed files that are kept by name
_MOST_PACKAGES = 2000
_Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
_Path = Annotated[str, Field(max_length=16384)]  # 4096 bytes, each of them spelled out
_Count = Annotated[int, Field(ge=0, le=2**53)]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Stage(StrEnum):
    """What a helper is doing."""

    COMPARING = "comparing"
    PACKING = "packing"
    PUSHING = "pushing"
    VERIFYING = "verifying"


class Progress(_Said):
    """How far it is."""

    stage: Stage
    files: _Count = 0
    bytes: _Count = 0
    total_bytes: _Count | None = None


class Layer(_Said):
    """The layer that was pushed."""

    digest: _Digest
    diff_id: _Digest
    size: _Count


class Summary(_Said):
    """How much differs from the base."""

    added: _Count = 0
    changed: _Count = 0
    deleted: _Count = 0
    bytes: _Count = 0


class Change(_Said):
    """One file that differs."""

    path: _Path
    kind: str = Field(max_length=16)
    size: _Count = 0


class Finding(_Said):
    """A file that looks as if it held a secret."""

    path: _Path
    pattern: str = Field(max_length=160)


class Package(_Said):
    """An installed package that differs: version before and after; None: not there, "": unknown."""

    kind: Annotated[str, Field(pattern="^(python|r|conda|debian)$")]
    name: str = Field(min_length=1, max_length=200)
    before: str | None = Field(None, max_length=100)
    after: str | None = Field(None, max_length=100)


class Result(_Said):
    """What became of an order; `unsettled` are files that were written while they were read."""

    state: Annotated[str, Field(pattern="^(done|confirm|failed)$")]
    manifest_digest: _Digest | None = None
    layer: Layer | None = None
    summary: Summary = Summary()
    changes: list[Change] = Field(default_factory=list, max_length=_MOST)
    findings: list[Finding] = Field(default_factory=list, max_length=_MOST)
    packages: list[Package] = Field(default_factory=list, max_length=_MOST_PACKAGES)
    unsettled: list[_Path] = Field(default_factory=list, max_length=_MOST)
    reason: str = Field("", max_length=2000)


async def take(session: AsyncSession, instance: SidecarInstance) -> Checkpoint | None:
    """The newest order that this helper shall carry out now; None if there is none."""
    moment = now()
    ready = and_(
        Checkpoint.state == State.ASKED,
        or_(Checkpoint.kind == MEASURE, Checkpoint.prepared),
    )
    lost = and_(
        Checkpoint.state.in_([State.MEASURING, State.SAVING]), Checkpoint.given_until < moment
    )
    order = await session.scalar(
        select(Checkpoint)
        .where(Checkpoint.instance == instance.id, or_(ready, lost))
        .order_by(Checkpoint.sequence.desc())
        .limit(1)
        .with_for_update()
    )
    if order is None:
        return None
    if order.attempts >= _TRIES:
        await fail(session, order, f"The helper that saves gave up {_TRIES} times.")
        return None
    if order.kind == SAVE and await at_stop.refused(session, order):
        return None
    if order.kind == SAVE and order.state == State.ASKED and await is_swept(session):
        return None
    if order.state == State.ASKED:
        measuring = order.kind == MEASURE
        order.state = State.MEASURING if measuring else State.SAVING
        order.deadline = moment + (_MEASURING if measuring else _SAVING)
    order.attempts += 1
    order.given_until = moment + LEASE
    return order


async def of(session: AsyncSession, instance: SidecarInstance, order_id: str) -> Checkpoint:
    """The order of this helper; raises `NotFound`, also for another's."""
    order = await session.get(Checkpoint, order_id, with_for_update=True)
    if order is None or order.instance != instance.id:
        raise NotFound("There is no such order.")
    return order


async def note_progress(
    session: AsyncSession, instance: SidecarInstance, order_id: str, progress: Progress
) -> None:
    """Show how far it is; raises `Conflict` if the order is not this helper's work any more."""
    order = await of(session, instance, order_id)
    _require_under_way(order)
    order.progress = progress.model_dump(mode="json")
    order.given_until = now() + LEASE


async def note_measured(
    session: AsyncSession, instance: SidecarInstance, order_id: str, result: Result
) -> None:
    """It is known how large it would be; the person decides. Twice is fine."""
    order = await of(session, instance, order_id)
    if order.state in (State.CONFIRM, State.ASKED):
        return
    _require_under_way(order)
    await _describe(session, order, result)
    await measured(session, order)


async def note_failed(
    session: AsyncSession, instance: SidecarInstance, order_id: str, result: Result
) -> None:
    """It cannot be done. Twice is fine."""
    order = await of(session, instance, order_id)
    if order.state == State.FAILED:
        return
    _require_under_way(order)
    if order.kind == SAVE and await at_stop.refused(session, order):
        return  # the helper saw no more than a refusal
    await fail(session, order, result.reason or "The helper that saves gave no reason.")


async def note_done(
    session: AsyncSession, instance: SidecarInstance, order_id: str, result: Result, size: int
) -> None:
    """It is saved; `size` is the layer's, as the registry has it. Twice is fine."""
    order = await of(session, instance, order_id)
    if order.state == State.DONE and order.manifest_digest == result.manifest_digest:
        return
    _require_under_way(order)
    if order.kind != SAVE or result.layer is None or result.manifest_digest is None:
        raise Conflict("This order was not to save.")
    if await at_stop.refused(session, order):
        return  # the share ended after the last byte
    await _describe(session, order, result)
    order.manifest_digest = result.manifest_digest
    order.layer_digest, order.layer_size = result.layer.digest, size
    await finish(session, order)


async def _describe(session: AsyncSession, order: Checkpoint, result: Result) -> None:
    packages = [each.model_dump(mode="json") for each in result.packages]
    await session.merge(CheckpointPackages(checkpoint_id=order.id, packages=packages))
    order.summary = {**result.summary.model_dump(mode="json"), "unsettled": len(result.unsettled)}
    order.changes = [each.model_dump(mode="json") for each in result.changes]
    order.findings = [each.model_dump(mode="json") for each in result.findings]


def _require_under_way(order: Checkpoint) -> None:
    if order.state not in (State.MEASURING, State.SAVING):
        raise Conflict("This order is not under way any more.", hint="Ask for the next one.")


def as_order(order: Checkpoint, registry: str, repository: str, **base: Any) -> dict[str, Any]:
    """The order in the words of the protocol; `base` holds base, manifest and config."""
    return {
        "id": order.id,
        "kind": order.kind,
        "repository": repository,
        "registry": registry,
        "history": {
            "author": order.author,
            "comment": order.message or order.name,
            "created": order.created_at.isoformat(),
        },
        "accept_findings": order.accepted,
        **base,
    }
