"""The table of what was counted where people keep files, beside the others in `records`."""

from datetime import datetime

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from petrihub_core.records import Record


class StorageUsage(Record, kw_only=True):
    """What was counted in one place. `kind`: home, shared or public.

    `subject` is the id of the person or group. `size_bytes` are those that take room on the disk;
    `files` counts everything but folders, each once. `partial`: there is more that could not be
    read, or not be counted in time. `in_use`: somebody could write there at the last look.
    `title` and `deleted_at` are set when the group is deleted: its files are kept.
    """

    __tablename__ = "storage_usage"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    subject: Mapped[str] = mapped_column(String(32), primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    files: Mapped[int] = mapped_column(BigInteger, default=0)
    partial: Mapped[bool] = mapped_column(default=False)
    in_use: Mapped[bool] = mapped_column(default=False)
    counted_at: Mapped[datetime | None] = mapped_column(default=None)
    title: Mapped[str] = mapped_column(String(100), default="")
    deleted_at: Mapped[datetime | None] = mapped_column(default=None)
