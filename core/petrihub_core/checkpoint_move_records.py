"""The table of moves of checkpoints onto a newer base, beside those of `checkpoint_records`."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from petrihub_core.records import Document, Record, new_id, now


class CheckpointMove(Record, kw_only=True):
    """The order to put a checkpoint's layer onto its image as it was built anew.

    `state`: looking, confirm, moving, done or failed. `conflicts` are the first paths that both
    sides change, `conflict_count` is how many there are; `result_id` will be the new checkpoint's.
    """

    __tablename__ = "checkpoint_moves"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    checkpoint_id: Mapped[str] = mapped_column(
        ForeignKey("checkpoints.id", ondelete="CASCADE"), index=True
    )
    owner: Mapped[str] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    actor: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64))
    new_base: Mapped[str] = mapped_column(String(128))
    state: Mapped[str] = mapped_column(String(16), default="looking", index=True)
    conflicts: Mapped[list[Document]] = mapped_column(default_factory=list)
    conflict_count: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str] = mapped_column(String(2000), default="")
    result_id: Mapped[str] = mapped_column(String(32), default_factory=new_id)
    asked_at: Mapped[datetime] = mapped_column(default_factory=now)
    deadline: Mapped[datetime]
