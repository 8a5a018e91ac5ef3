"""The tables of checkpoints, beside the others in `records`."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from petrihub_core.records import Document, Record, new_id, now


class SidecarInstance(Record, kw_only=True):
    """The helpers of one start of a workspace: what it runs, and the hash of their secret.

    `base_digest` is the engine's name of the image below everything, `checkpoint_id` what the
    workspace was continued from. `intent` is the start's, or the id of the order to save what has
    stopped.
    """

    __tablename__ = "sidecar_instances"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    owner: Mapped[str] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    workspace: Mapped[str] = mapped_column(String(32))
    intent: Mapped[str] = mapped_column(String(32), index=True)
    profile: Mapped[str] = mapped_column(String(64))
    size: Mapped[str] = mapped_column(String(64))
    base_image: Mapped[str] = mapped_column(String(128))
    base_digest: Mapped[str] = mapped_column(String(128))
    checkpoint_id: Mapped[str | None] = mapped_column(String(32), default=None)
    saves_at_stop: Mapped[bool] = mapped_column(default=False)
    secret_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default_factory=now)
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)


class Checkpoint(Record, kw_only=True):
    """A saved environment, or the order to save one; the intent of everything that saving does.

    `state`: asked, measuring, confirm, saving, waiting, done or failed; `kind` is what is wanted of
    the helper now: measure or save. `sequence` counts the orders of one workspace: the highest
    wins. `at_stop`: the workspace has stopped, and is kept until this has ended; `failures` counts
    the tries that came to nothing.
    """

    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("owner", "workspace", "sequence"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    owner: Mapped[str] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    workspace: Mapped[str] = mapped_column(String(32))
    sequence: Mapped[int]
    name: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(String(1000), default="")
    author: Mapped[str] = mapped_column(String(64))
    instance: Mapped[str] = mapped_column(String(32))
    parent_id: Mapped[str | None] = mapped_column(
        ForeignKey("checkpoints.id", ondelete="SET NULL"), default=None, index=True
    )
    profile: Mapped[str] = mapped_column(String(64))
    size: Mapped[str] = mapped_column(String(64))
    base_image: Mapped[str] = mapped_column(String(128))
    base_digest: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), default="asked", index=True)
    prepared: Mapped[bool] = mapped_column(default=False)
    progress: Mapped[Document] = mapped_column(default_factory=dict)
    summary: Mapped[Document] = mapped_column(default_factory=dict)
    changes: Mapped[list[Document]] = mapped_column(default_factory=list)
    findings: Mapped[list[Document]] = mapped_column(default_factory=list)
    accepted: Mapped[list[str]] = mapped_column(default_factory=list)
    manifest_digest: Mapped[str] = mapped_column(String(80), default="")
    layer_digest: Mapped[str] = mapped_column(String(80), default="")
    layer_size: Mapped[int] = mapped_column(BigInteger, default=0)
    reason: Mapped[str] = mapped_column(String(2000), default="")
    attempts: Mapped[int] = mapped_column(default=0)
    at_stop: Mapped[bool] = mapped_column(default=False)
    failures: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default_factory=now)
    given_until: Mapped[datetime | None] = mapped_column(default=None)
    deadline: Mapped[datetime]
    ended_at: Mapped[datetime | None] = mapped_column(default=None)


class BaseImage(Record, kw_only=True):
    """An image on which checkpoints stand, kept in the image server; by the engine's name of it.

    The row is there before it is pushed; `manifest_digest` is empty until it is kept. `started_as`
    is how a container of it is started: the part of its configuration that checkpoints get.
    """

    __tablename__ = "base_images"

    digest: Mapped[str] = mapped_column(String(128), primary_key=True)
    repository: Mapped[str] = mapped_column(String(160))
    manifest_digest: Mapped[str] = mapped_column(String(80), default="")
    started_as: Mapped[Document] = mapped_column(default_factory=dict)
    asked_at: Mapped[datetime] = mapped_column(default_factory=now)
