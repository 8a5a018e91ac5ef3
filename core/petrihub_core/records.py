"""The tables: what must survive a restart. All times are timezone-aware UTC."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from petrihub_core.record_base import Document as Document
from petrihub_core.record_base import Record as Record
from petrihub_core.record_base import UtcDateTime as UtcDateTime
from petrihub_core.record_base import new_id as new_id
from petrihub_core.record_base import now as now


class Person(Record, kw_only=True):
    """Somebody who may sign in; known by (issuer, subject), the name is a label.

    `sessions_to_end`: deactivated, and the hub has not yet said that everything of theirs ended.
    """

    __tablename__ = "people"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    issuer: Mapped[str] = mapped_column(String(255))
    subject: Mapped[str] = mapped_column(String(255))
    username: Mapped[str] = mapped_column(String(32), unique=True)
    email: Mapped[str | None] = mapped_column(String(254), default=None)
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(default_factory=now)
    last_seen_at: Mapped[datetime | None] = mapped_column(default=None)
    sessions_to_end: Mapped[bool] = mapped_column(default=False)


class RoleGrant(Record, kw_only=True):
    """One role of one person; a person without any is a researcher."""

    __tablename__ = "role_grants"

    person_id: Mapped[str] = mapped_column(
        ForeignKey("people.id", ondelete="CASCADE"), primary_key=True
    )
    role: Mapped[str] = mapped_column(String(32), primary_key=True)
    granted_by: Mapped[str] = mapped_column(String(64))
    granted_at: Mapped[datetime] = mapped_column(default_factory=now)


class Group(Record, kw_only=True):
    """People who share storage, profiles and workspaces. `storage_gib` None: no limit is set.

    `open_to_requests`: everybody is told of it and may ask to join.
    """

    __tablename__ = "groups"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    name: Mapped[str] = mapped_column(String(32), unique=True)
    title: Mapped[str] = mapped_column(String(64))
    storage_gib: Mapped[int | None] = mapped_column(default=None)
    workspaces_limit: Mapped[int | None] = mapped_column(default=None)
    default_profile: Mapped[str | None] = mapped_column(String(32), default=None)
    open_to_requests: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default_factory=now)


class GroupMember(Record, kw_only=True):
    """Somebody in a group; a manager may add and remove members of this group."""

    __tablename__ = "group_members"

    group_id: Mapped[str] = mapped_column(
        ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True
    )
    person_id: Mapped[str] = mapped_column(
        ForeignKey("people.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    manager: Mapped[bool] = mapped_column(default=False)
    since: Mapped[datetime] = mapped_column(default_factory=now)


class Request(Record, kw_only=True):
    """What somebody asked an administrator for. `kind`: size, app, group or time."""

    __tablename__ = "requests"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    person_id: Mapped[str] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(1000))
    state: Mapped[str] = mapped_column(String(16), default="open", index=True)
    answer: Mapped[str] = mapped_column(String(1000), default="")
    answered_by: Mapped[str | None] = mapped_column(String(64), default=None)
    created_at: Mapped[datetime] = mapped_column(default_factory=now)
    answered_at: Mapped[datetime | None] = mapped_column(default=None)


class Allowance(Record, kw_only=True):
    """What an approved request gave one person beyond what their groups have."""

    __tablename__ = "allowances"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    person_id: Mapped[str] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(64))
    granted_by: Mapped[str] = mapped_column(String(64))
    granted_at: Mapped[datetime] = mapped_column(default_factory=now)
    until: Mapped[datetime | None] = mapped_column(default=None)


class Notification(Record, kw_only=True):
    """One line of somebody's feed: what happened, why, and the next step as `link`."""

    __tablename__ = "notifications"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    person_id: Mapped[str] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    title: Mapped[str] = mapped_column(String(160))
    text: Mapped[str] = mapped_column(String(1000), default="")
    link: Mapped[str] = mapped_column(String(300), default="")
    link_title: Mapped[str] = mapped_column(String(64), default="")
    key: Mapped[str | None] = mapped_column(String(160), unique=True, default=None)
    at: Mapped[datetime] = mapped_column(default_factory=now, index=True)
    read_at: Mapped[datetime | None] = mapped_column(default=None)


class Announcement(Record, kw_only=True):
    """Words of an administrator to everybody; `level` is info or warning."""

    __tablename__ = "announcements"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    text: Mapped[str] = mapped_column(String(500))
    level: Mapped[str] = mapped_column(String(16), default="info")
    starts_at: Mapped[datetime] = mapped_column(default_factory=now)
    ends_at: Mapped[datetime | None] = mapped_column(default=None)
    by: Mapped[str] = mapped_column(String(64))


class SettingsVersion(Record, kw_only=True):
    """One saved version of one settings page; the highest is in force. Never holds a secret."""

    __tablename__ = "settings"

    page: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[Document] = mapped_column()
    by: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(default_factory=now)


class Picture(Record, kw_only=True):
    """A picture that a settings page names by its SHA-256; kept as long as some version names it.

    `plate`: the theme, light or dark, whose ground would hide parts of it; empty: neither.
    """

    __tablename__ = "pictures"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    png: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    width: Mapped[int]
    height: Mapped[int]
    plate: Mapped[str] = mapped_column(String(8))
    by: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(default_factory=now)


class SealedSecret(Record, kw_only=True):
    """A secret of a settings page, sealed with AEAD and bound to (page, field)."""

    __tablename__ = "sealed_secrets"

    page: Mapped[str] = mapped_column(String(32), primary_key=True)
    field: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(16))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    fingerprint: Mapped[str] = mapped_column(String(16))
    by: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(default_factory=now)


class AcmeChallenge(Record, kw_only=True):
    """An HTTP-01 challenge that any replica must be able to answer."""

    __tablename__ = "acme_challenges"

    token: Mapped[str] = mapped_column(String(128), primary_key=True)
    authorization: Mapped[str] = mapped_column(String(300))
    expires_at: Mapped[datetime]


class CertificateOrder(Record, kw_only=True):
    """One order of a certificate by ACME. `state`: open, done or failed; `words` say why."""

    __tablename__ = "certificate_orders"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    by: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), default="open", index=True)
    step: Mapped[str] = mapped_column(String(16), default="account")
    words: Mapped[str] = mapped_column(String(1000), default="")
    started_at: Mapped[datetime] = mapped_column(default_factory=now, index=True)
    deadline: Mapped[datetime]
    ended_at: Mapped[datetime | None] = mapped_column(default=None)


class Lease(Record, kw_only=True):
    """Whose turn it is with something that only one replica may do at a time."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(String(32))
    until: Mapped[datetime]


class WorkspaceShare(Record, kw_only=True):
    """Somebody else's way into a workspace. `kind`: person, group or link; `mode`: view or work.

    `through_id` names the link by which the person came: both end together.
    """

    __tablename__ = "workspace_shares"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    owner_id: Mapped[str] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    workspace: Mapped[str] = mapped_column(String(32))
    kind: Mapped[str] = mapped_column(String(16))
    person_id: Mapped[str | None] = mapped_column(
        ForeignKey("people.id", ondelete="SET NULL"), default=None, index=True
    )
    group_id: Mapped[str | None] = mapped_column(
        ForeignKey("groups.id", ondelete="SET NULL"), default=None, index=True
    )
    mode: Mapped[str] = mapped_column(String(16))
    code_hash: Mapped[str | None] = mapped_column(String(64), unique=True, default=None)
    through_id: Mapped[str | None] = mapped_column(
        ForeignKey("workspace_shares.id", ondelete="CASCADE"), default=None
    )
    created_at: Mapped[datetime] = mapped_column(default_factory=now)
    expires_at: Mapped[datetime | None] = mapped_column(default=None)
    ended_at: Mapped[datetime | None] = mapped_column(default=None)


class Account(Record, kw_only=True):
    """The password of a local account; `password_hash` is an argon2id string."""

    __tablename__ = "accounts"

    person_id: Mapped[str] = mapped_column(
        ForeignKey("people.id", ondelete="CASCADE"), primary_key=True
    )
    password_hash: Mapped[str] = mapped_column(String(255))
    changed_at: Mapped[datetime] = mapped_column(default_factory=now)


class SignInLink(Record, kw_only=True):
    """A one-time link; only the SHA-256 of its code is kept. `groups` are the ids of groups."""

    __tablename__ = "sign_in_links"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id)
    kind: Mapped[str] = mapped_column(String(16))
    code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    username: Mapped[str | None] = mapped_column(String(32), default=None)
    role: Mapped[str] = mapped_column(String(32), default="researcher")
    email: Mapped[str | None] = mapped_column(String(254), default=None)
    groups: Mapped[list[str]] = mapped_column(default_factory=list)
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


class Heartbeat(Record, kw_only=True):
    """When a part that works by itself last finished a round of its work."""

    __tablename__ = "heartbeats"

    part: Mapped[str] = mapped_column(String(32), primary_key=True)
    at: Mapped[datetime] = mapped_column(default_factory=now)


class AuditRow(Record, kw_only=True):
    """Who did what to which object, chained by hash to the row before."""

    __tablename__ = "audit"
    # each search is answered newest first, a page at a time: from its column and the number
    __table_args__ = (
        Index("ix_audit_actor_seq", "actor", "seq"),
        Index("ix_audit_action_seq", "action", "seq"),
        Index("ix_audit_outcome_seq", "outcome", "seq"),
    )

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(default_factory=now, index=True)
    actor: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(160))
    outcome: Mapped[str] = mapped_column(String(16))
    detail: Mapped[Document] = mapped_column(default_factory=dict)
    previous: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
