"""Who may have a token for which repository: decided here and nowhere else."""

import base64
import json
import re

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import instances
from petrihub_core.checkpoint_records import Checkpoint, SidecarInstance
from petrihub_core.checkpoint_sharing import require_savable
from petrihub_core.checkpoints import State
from petrihub_core.errors import NotAllowed, Refused
from petrihub_core.image_server import PULL, PUSH, Access, checkpoint_repository
from petrihub_core.instances import NotKnown

_SCOPE = re.compile(r"repository:([a-z0-9._/-]{1,255}):([a-z,*]{1,64})")


def subject_of(authorization: str) -> str:
    """Of whom a registry token speaks, unproved; empty if there is none or it cannot be read."""
    kind, _, token = authorization.partition(" ")
    if kind.lower() != "bearer":
        return ""
    payload = token.strip().split(".")[1:2]
    try:
        claims = json.loads(base64.urlsafe_b64decode(f"{payload[0]}=="))
    except (IndexError, ValueError):
        return ""
    return str(claims.get("sub", "")) if isinstance(claims, dict) else ""


async def require_passed(session: AsyncSession, subject: str, method: str) -> None:
    """Raise `NotKnown` for a token whose workspace has ended, or that would write and may not now.

    Without a token the registry answers by itself where to get one.
    """
    if not subject:
        return
    instance = await session.get(SidecarInstance, subject[:32])
    if instance is None or not await instances.is_alive(session, instance):
        raise NotKnown("The workspace of this token has ended.")
    if method in ("GET", "HEAD"):
        return
    if not await _is_saving(session, instance):
        raise NotKnown("Nothing of this workspace is being saved now.")
    await require_savable(session, instance)


async def _is_saving(session: AsyncSession, instance: SidecarInstance) -> bool:
    found = await session.scalar(
        select(Checkpoint.id).where(
            Checkpoint.instance == instance.id, Checkpoint.state == State.SAVING
        )
    )
    return found is not None


async def granted(session: AsyncSession, instance: SidecarInstance, scopes: list[str]) -> Access:
    """What this helper gets of what it asks for: its own repository, and only while it saves.

    A workspace that was started from somebody else's checkpoint gets nothing of theirs: the hub
    fetched that one image. It may push only while that checkpoint may be built on.

    Raises `Refused` for what cannot be read, `NotAllowed` for anything else.
    """
    if len(scopes) != 1:
        raise Refused("Ask for one repository at a time.")
    found = _SCOPE.fullmatch(scopes[0])
    if found is None:
        raise Refused("This scope cannot be read.")
    repository, actions = found[1], set(found[2].split(","))
    if repository != checkpoint_repository(instance.owner, instance.workspace):
        raise NotAllowed("A workspace has a repository of its own, and no other.")
    if not actions <= set(PUSH):
        raise NotAllowed("A workspace may push and pull, nothing else.")
    if "push" not in actions:
        return Access(repository, PULL)
    if not await _is_saving(session, instance):
        raise NotAllowed("Nothing of this workspace is being saved now.")
    await require_savable(session, instance)
    return Access(repository, PUSH)
