"""Tables beside those of `checkpoint_records`: shares, and the packages that differ."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from petrihub_core.records import Document, Record, new_id, now


class CheckpointShare(Record, kw_only=True):
    """Leave for others to start from a checkpoint. `kind`: person, group or link.

    `mode`: read or derive. `through_id` names the link by which the person came: both end together.
    """

    __tablename__ = "checkpoint_shares"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    checkpoint_id: Mapped[str] = mapped_column(
        ForeignKey("checkpoints.id", ondelete="CASCADE"), index=True
    )
    owner_id: Mapped[str] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    person_id: Mapped[str | None] = mapped_column(
        ForeignKey("people.id", ondelete="CASCADE"), default=None, index=True
    )
    group_id: Mapped[str | None] = mapped_column(
        ForeignKey("groups.id", ondelete="CASCADE"), default=None, index=True
    )
    mode: Mapped[str] = mapped_column(String(16))
    code_hash: Mapped[str | None] = mapped_column(String(64), unique=True, default=None)
    through_id: Mapped[str | None] = mapped_column(
        ForeignKey("checkpoint_shares.id", ondelete="CASCADE"), default=None
    )
    created_at: Mapped[datetime] = mapped_column(default_factory=now)
    expires_at: Mapped[datetime | None] = mapped_column(default=None)
    ended_at: Mapped[datetime | None] = mapped_column(default=None)


class CheckpointPackages(Record, kw_only=True):
    """The installed packages in which a checkpoint differs from its base.

    Each has kind (python, r, conda, debian), name, and the version before and after: None where it
    is not there, "" where nobody wrote it down.
    """

    __tablename__ = "checkpoint_packages"

    checkpoint_id: Mapped[str] = mapped_column(
        ForeignKey("checkpoints.id", ondelete="CASCADE"), primary_key=True
    )
    packages: Mapped[list[Document]] = mapped_column(default_factory=list)
