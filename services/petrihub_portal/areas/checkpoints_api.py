"""Checkpoints as REST: the same rules as on the pages."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from petrihub_core import checkpoints
from petrihub_core.checkpoint_access import seen
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import LONGEST_MESSAGE, LONGEST_NAME, State, Wish
from petrihub_portal import differences
from petrihub_portal.routing import Area, Open
from petrihub_portal.saved import continue_from, require_comparable
from petrihub_portal.visit import CurrentVisit
from petrihub_portal.warned import words_of

area = Area("Checkpoints")

Name = Annotated[str, Path(max_length=64)]
Id = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]


class CheckpointModel(BaseModel):
    """A saved environment, or the order to save one; `reason` says why it failed or waits.

    `at_stop`: it is what a workspace had when it stopped, which is kept until this has ended.
    `layer_size` is in bytes; `parent` is the id of the checkpoint that it was made from.
    """

    id: str
    workspace: str
    name: str
    message: str
    author: str
    state: State
    reason: str
    parent: str | None
    at_stop: bool
    base_image: str
    base_digest: str
    digest: str
    layer_size: int
    created_at: datetime
    ended_at: datetime | None


class Difference(BaseModel):
    """A file that differs from the image below: added, changed or deleted."""

    path: str
    kind: str
    size: int


class PackageDifference(BaseModel):
    """An installed package that differs. `before` and `after` are versions; null: not there.

    `kind` is python, r, conda or debian. A version that nobody wrote down is empty.
    """

    kind: str
    name: str
    before: str | None
    after: str | None


class ComparisonModel(BaseModel):
    """How one checkpoint differs from another; `whole` is false where not all files are known.

    Files that both have changed to the same size are taken for the same.
    """

    packages: list[PackageDifference]
    changes: list[Difference]
    whole: bool


class Warned(BaseModel):
    """A file to look at before it is saved, and why: `words` is for people, `pattern` for programs.

    `not-readable` and `reserved-name` mean that it would be left out; every other pattern is a kind
    of key or password.
    """

    path: str
    pattern: str
    words: str


class CheckpointDetail(CheckpointModel):
    """The same with what is in it: packages, and the first thousand files."""

    added: int
    changed: int
    deleted: int
    bytes: int
    changes: list[Difference]
    packages: list[PackageDifference]
    findings: list[Warned]


class NewCheckpoint(BaseModel):
    """What to save under. `measure_first`: tell the size, then wait for `confirm`."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=LONGEST_NAME)
    message: str = Field("", max_length=LONGEST_MESSAGE)
    measure_first: bool = False


class NewWorkspace(BaseModel):
    """How the new workspace shall be called."""

    model_config = ConfigDict(extra="forbid")

    workspace: str = Field(min_length=1, max_length=64)


class Started(BaseModel):
    """The workspace that starts now."""

    workspace: str


def model_of(row: Checkpoint) -> CheckpointModel:
    """A checkpoint as the API tells it."""
    return CheckpointModel(
        id=row.id,
        workspace=row.workspace,
        name=row.name,
        message=row.message,
        author=row.author,
        state=State(row.state),
        reason=row.reason,
        parent=row.parent_id,
        at_stop=row.at_stop,
        base_image=row.base_image,
        base_digest=row.base_digest,
        digest=row.manifest_digest,
        layer_size=row.layer_size,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def _warned(finding: Mapping[str, str]) -> Warned:
    return Warned(**finding, words=words_of(finding["pattern"]))


@area.api("GET", "/my/checkpoints", needs=Open.SIGNED_IN)
async def my_checkpoints(
    visit: CurrentVisit,
    workspace: Annotated[str, Query(max_length=64)] = "",
    limit: Limit = 50,
    offset: Offset = 0,
) -> list[CheckpointModel]:
    """My checkpoints and orders, newest first."""
    async with visit.portal.database.reading() as session:
        found = await checkpoints.listed(session, visit.me.id, workspace or None)
    return [model_of(each) for each in found[offset : offset + limit]]


@area.api("GET", "/my/checkpoints/{checkpoint_id}", needs=Open.SIGNED_IN)
async def my_checkpoint(visit: CurrentVisit, checkpoint_id: Id) -> CheckpointDetail:
    """One of my checkpoints, or one that is shared with me, with what is in it."""
    async with visit.portal.database.reading() as session:
        row, _ = await seen(session, visit.me.id, checkpoint_id)
        packages = (await differences.of(session, row)).packages
    counts = {
        name: int(row.summary.get(name, 0)) for name in ("added", "changed", "deleted", "bytes")
    }
    return CheckpointDetail(
        **model_of(row).model_dump(),
        **counts,
        changes=[Difference(**each) for each in row.changes],
        packages=[PackageDifference(**asdict(each)) for each in packages],
        findings=[_warned(each) for each in row.findings],
    )


@area.api("GET", "/my/checkpoints/{checkpoint_id}/compare/{since}", needs=Open.SIGNED_IN)
async def compare(visit: CurrentVisit, checkpoint_id: Id, since: Id) -> ComparisonModel:
    """How a checkpoint differs from another one on the same image: packages and files."""
    async with visit.portal.database.reading() as session:
        row, _ = await seen(session, visit.me.id, checkpoint_id)
        other, _ = await seen(session, visit.me.id, since)
        require_comparable(other, row)
        found = differences.between(
            await differences.of(session, other), await differences.of(session, row)
        )
    return ComparisonModel(
        packages=[PackageDifference(**asdict(each)) for each in found.packages],
        changes=[Difference(**asdict(each)) for each in found.files],
        whole=found.whole,
    )


@area.api("POST", "/my/workspaces/{name}/checkpoints", needs=Open.SIGNED_IN, status_code=202)
async def save(visit: CurrentVisit, name: Name, wanted: NewCheckpoint) -> CheckpointModel:
    """Save what is installed in a running workspace; answers before it is saved."""
    wish = Wish(name=wanted.name, message=wanted.message, measure_first=wanted.measure_first)
    async with visit.portal.database.session() as session:
        row = await checkpoints.ask(session, visit.actor.name, visit.me, name, wish)
    return model_of(row)


@area.api("POST", "/my/checkpoints/{checkpoint_id}/confirm", needs=Open.SIGNED_IN, status_code=202)
async def confirm(visit: CurrentVisit, checkpoint_id: Id) -> CheckpointModel:
    """Save what was measured, with the files that were warned of."""
    async with visit.portal.database.session() as session:
        who = visit.actor.name
        return model_of(await checkpoints.confirm(session, who, visit.me, checkpoint_id))


@area.api("POST", "/my/checkpoints/{checkpoint_id}/cancel", needs=Open.SIGNED_IN)
async def cancel(visit: CurrentVisit, checkpoint_id: Id) -> CheckpointModel:
    """Give an open order up; what has ended stays as it is."""
    async with visit.portal.database.session() as session:
        who = visit.actor.name
        return model_of(await checkpoints.give_up(session, who, visit.me, checkpoint_id))


@area.api("DELETE", "/my/checkpoints/{checkpoint_id}", needs=Open.SIGNED_IN, status_code=204)
async def delete(visit: CurrentVisit, checkpoint_id: Id) -> None:
    """Forget a checkpoint that nothing stands on."""
    async with visit.portal.database.session() as session:
        await checkpoints.delete(session, visit.actor.name, visit.me, checkpoint_id)


@area.api("POST", "/my/checkpoints/{checkpoint_id}/start", needs=Open.SIGNED_IN, status_code=202)
async def start(visit: CurrentVisit, checkpoint_id: Id, wanted: NewWorkspace) -> Started:
    """A new workspace from a checkpoint; answers before it is ready."""
    name = await continue_from(visit.portal, visit.actor, visit.me, checkpoint_id, wanted.workspace)
    return Started(workspace=name)
