"""The tables: what must survive a restart. All times are timezone-aware UTC."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    ForeignKey,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column

Document = dict[str, Any]


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A fresh identifier: 32 hex digits."""
    return uuid4().hex


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite forgets the zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a moment without a zone: it would be read back as another one."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a stored time needs a zone")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Record(MappedAsDataclass, DeclarativeBase, kw_only=True):
    """The base of all our tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime(), Document: JSON(), list[Document]: JSON()}  # noqa: RUF012


class Person(Record, kw_only=True):
    """Somebody who may sign in; known by (issuer, subject), the name is a label."""

    __tablename__ = "people"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    issuer: Mapped[str] = mapped_column(String(255))
    subject: Mapped[str] = mapped_column(String(255))
    username: Mapped[str] = mapped_column(String(32), unique=True)
    role: Mapped[str] = mapped_column(String(16), default="researcher")
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(default_factory=now)


class Account(Record, kw_only=True):
    """The password of a local account; `password_hash` is an argon2id string."""

    __tablename__ = "accounts"

    person_id: Mapped[str] = mapped_column(
        ForeignKey("people.id", ondelete="CASCADE"), primary_key=True
    )
    password_hash: Mapped[str] = mapped_column(String(255))
    changed_at: Mapped[datetime] = mapped_column(default_factory=now)


class SignInLink(Record, kw_only=True):
    """A one-time link; only the SHA-256 of its code is kept."""

    __tablename__ = "sign_in_links"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    kind: Mapped[str] = mapped_column(String(16))
    code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    username: Mapped[str | None] = mapped_column(String(32), default=None)
    role: Mapped[str] = mapped_column(String(16), default="researcher")
    created_by: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default_factory=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None] = mapped_column(default=None)
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)


class Throttle(Record, kw_only=True):
    """Failed tries of one key (an account or an address) and until when it must wait."""

    __tablename__ = "throttles"

    key: Mapped[str] = mapped_column(String(160), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    window_started: Mapped[datetime] = mapped_column(default_factory=now)
    blocked_until: Mapped[datetime | None] = mapped_column(default=None)


class IntentRow(Record, kw_only=True):
    """An outside effect, written down before it happens (write-ahead intent)."""

    __tablename__ = "intents"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    kind: Mapped[str] = mapped_column(String(16))
    workspace: Mapped[str] = mapped_column(String(80), index=True)
    owner: Mapped[str] = mapped_column(String(64))
    external: Mapped[Document] = mapped_column(default_factory=dict)
    plan: Mapped[Document] = mapped_column(default_factory=dict)
    profile: Mapped[str] = mapped_column(String(64), default="")
    size: Mapped[str] = mapped_column(String(64), default="")
    boot: Mapped[str] = mapped_column(String(32))
    step: Mapped[str] = mapped_column(String(32), default="written")
    state: Mapped[str] = mapped_column(String(16), default="open", index=True)
    reason: Mapped[str] = mapped_column(String(2000), default="")
    started_at: Mapped[datetime] = mapped_column(default_factory=now)
    deadline: Mapped[datetime]
    ended_at: Mapped[datetime | None] = mapped_column(default=None)


class WorkspaceImage(Record, kw_only=True):
    """An image that workspaces may run: the allow-list, by digest."""

    __tablename__ = "workspace_images"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    digest: Mapped[str] = mapped_column(String(128))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    apps: Mapped[list[Document]] = mapped_column(default_factory=list)
    labels: Mapped[Document] = mapped_column(default_factory=dict)
    built_at: Mapped[datetime] = mapped_column(default_factory=now)


class AuditRow(Record, kw_only=True):
    """Who did what to which object, chained by hash to the row before."""

    __tablename__ = "audit"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(default_factory=now)
    actor: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64), index=True)
    target: Mapped[str] = mapped_column(String(160))
    outcome: Mapped[str] = mapped_column(String(16))
    detail: Mapped[Document] = mapped_column(default_factory=dict)
    previous: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
