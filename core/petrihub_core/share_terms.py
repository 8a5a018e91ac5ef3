"""What the shares of workspaces and of checkpoints have in common."""

from datetime import datetime
from typing import TypeVar

from sqlalchemy import ColumnElement, or_

from petrihub_core.checkpoint_share_records import CheckpointShare
from petrihub_core.records import WorkspaceShare, now

ShareRow = TypeVar("ShareRow", WorkspaceShare, CheckpointShare)


def in_force(table: type[ShareRow], at: datetime | None = None) -> tuple[ColumnElement[bool], ...]:
    """The conditions under which a share counts."""
    at = at or now()
    return table.ended_at.is_(None), or_(table.expires_at.is_(None), table.expires_at > at)
