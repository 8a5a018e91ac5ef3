"""The table of the workspaces' keys to their storage, beside the others in `records`."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from petrihub_core.records import Record, new_id, now


class StorageKey(Record, kw_only=True):
    """The public half of the key of one start of a workspace.

    `public_key` is Ed25519, base64url without padding; `accounts` are those of the file server that
    it may log in to, as this start mounts them.
    """

    __tablename__ = "storage_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    owner: Mapped[str] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    workspace: Mapped[str] = mapped_column(String(32))
    intent: Mapped[str] = mapped_column(String(32))
    public_key: Mapped[str] = mapped_column(String(64))
    accounts: Mapped[list[str]] = mapped_column(default_factory=list)
    created_at: Mapped[datetime] = mapped_column(default_factory=now)
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)
