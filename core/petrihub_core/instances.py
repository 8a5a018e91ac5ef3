"""Helpers of running workspaces: each start has a secret of its own, which ends with it.

A workspace that is saved after its stop gets another one, which ends with the order to save it.
Only a hash is kept. A secret is good while the start that it was made for is the workspace's
newest and was not ended, so a stop takes effect at once and needs no second step.
"""

import hashlib
import secrets
from dataclasses import asdict, dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.checkpoint_records import Checkpoint, SidecarInstance
from petrihub_core.errors import PetriHubError
from petrihub_core.intents import DONE, FAILED, RESTART, START, STOP
from petrihub_core.records import IntentRow, new_id, now

_SEPARATOR = "."
_LONGEST = 200
_UNDER_WAY = ("asked", "measuring", "saving")  # states of an order that needs its helper


class NotKnown(PetriHubError):
    """The secret is wrong, or the start that it was made for has ended."""

    status = 401


@dataclass(frozen=True, kw_only=True)
class Enrolment:
    """One start of a workspace. `base_digest` is the engine's name of the image below all."""

    owner: str
    workspace: str
    intent: str
    profile: str
    size: str
    base_image: str
    base_digest: str
    checkpoint_id: str | None = None
    saves_at_stop: bool = False


def _hash(secret: str) -> str:
    # 256 random bits: nothing to guess, so no slow hash is needed
    return hashlib.sha256(secret.encode()).hexdigest()


async def enrol(session: AsyncSession, start: Enrolment) -> str:
    """The credential of the helpers of this start, as "<instance>.<secret>"; not shown again."""
    secret = secrets.token_urlsafe(32)
    row = SidecarInstance(**asdict(start), secret_hash=_hash(secret), id=new_id())
    session.add(row)
    await session.flush()
    return f"{row.id}{_SEPARATOR}{secret}"


def id_in(credential: str) -> str:
    """The instance that a credential names."""
    return credential[:_LONGEST].partition(_SEPARATOR)[0]


async def known(session: AsyncSession, credential: str) -> SidecarInstance:
    """Whose credential this is; raises `NotKnown` for a wrong one and for one that has ended."""
    instance_id, _, secret = credential[:_LONGEST].partition(_SEPARATOR)
    row = await session.get(SidecarInstance, instance_id)
    expected = row.secret_hash if row else _hash("")
    if not secrets.compare_digest(expected, _hash(secret)) or row is None:
        raise NotKnown("This credential is not known.")
    if not await is_alive(session, row):
        raise NotKnown("The workspace of this credential has ended.")
    return row


async def is_alive(session: AsyncSession, row: SidecarInstance) -> bool:
    """Whether the start that this instance belongs to goes on."""
    if row.revoked_at is not None:
        return False
    order = await session.get(Checkpoint, row.intent)
    if order is not None:
        return order.instance == row.id and order.state in _UNDER_WAY
    key = f"{row.owner}/{row.workspace}"
    newest = (
        await session.execute(
            select(IntentRow.id, IntentRow.kind, IntentRow.state)
            .where(IntentRow.workspace == key, IntentRow.kind != RESTART)
            .order_by(IntentRow.started_at.desc())
            .limit(2)
        )
    ).all()
    if not newest:
        return False
    last = newest[0]
    if last.kind == STOP and last.state != DONE and len(newest) > 1:
        last = newest[1]  # a stop that is under way, or that could not be done
    return (last.kind, last.id) == (START, row.intent) and bool(last.state != FAILED)


async def of_workspace(session: AsyncSession, owner: str, workspace: str) -> SidecarInstance | None:
    """The instance of the running workspace; None if it does not run, or has no helpers."""
    row = await session.scalar(
        select(SidecarInstance)
        .where(SidecarInstance.owner == owner, SidecarInstance.workspace == workspace)
        .order_by(SidecarInstance.created_at.desc())
        .limit(1)
    )
    if row is None or await session.get(Checkpoint, row.intent) is not None:
        return None  # what saves a workspace that has stopped
    return row if await is_alive(session, row) else None


async def revoke(session: AsyncSession, owner: str, workspace: str) -> None:
    """End all credentials of the workspace now."""
    await session.execute(
        update(SidecarInstance)
        .where(
            SidecarInstance.owner == owner,
            SidecarInstance.workspace == workspace,
            SidecarInstance.revoked_at.is_(None),
        )
        .values(revoked_at=now())
    )
