"""The tables of imported checkpoints: archives on their way in, and whose signatures count."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from petrihub_core.records import Record, new_id, now


class CheckpointImport(Record, kw_only=True):
    """An archive on its way in. `state`: receiving, checking, done or failed.

    `size` and `received` are in bytes; the archive lies in the state folder under the row's id.
    """

    __tablename__ = "checkpoint_imports"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    owner: Mapped[str] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    actor: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger, default=0)
    state: Mapped[str] = mapped_column(String(16), default="receiving", index=True)
    reason: Mapped[str] = mapped_column(String(2000), default="")
    result_id: Mapped[str] = mapped_column(String(32), default_factory=new_id)
    asked_at: Mapped[datetime] = mapped_column(default_factory=now)
    deadline: Mapped[datetime]


class TrustedSigner(Record, kw_only=True):
    """Another PetriHub whose archives are taken; `key` is the public half of its key."""

    __tablename__ = "trusted_signers"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    title: Mapped[str] = mapped_column(String(160), default="")
    by: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(default_factory=now)
