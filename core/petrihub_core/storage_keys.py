"""Keys of workspaces to their storage: each start has its own, which ends with it.

Promises: a key opens the folders that its start mounts and no others; a group's folder only while
the owner is a member; nothing once the workspace was stopped, ended, or its owner was deactivated.
Only the public half is ever here.
"""

import base64
import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from sqlalchemy import Select, and_, exists, not_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from petrihub_core.intents import DONE, FAILED, RESTART, START, STOP
from petrihub_core.places import Key, Kind
from petrihub_core.records import GroupMember, IntentRow, Person, now
from petrihub_core.storage_key_records import StorageKey

HOME_ACCOUNT, GROUP_ACCOUNT = "h-", "g-"  # before the id of a person, of a group
PUBLIC_READER, PUBLIC_WRITER = "public", "public-w"
ACCOUNT = re.compile(r"[hg]-[0-9a-z]{1,32}|public|public-w")


def place_of(account: str) -> Key | None:
    """The place whose files this account of the file server owns; None if it owns none."""
    if account == PUBLIC_WRITER:
        return (Kind.PUBLIC, "")
    kind = {HOME_ACCOUNT: Kind.HOME, GROUP_ACCOUNT: Kind.SHARED}.get(account[:2])
    return (kind, account[2:]) if kind else None


def account_of(group_id: str) -> str:
    """The account that owns a group's files."""
    return f"{GROUP_ACCOUNT}{group_id}"


@dataclass(frozen=True, kw_only=True)
class Login:
    """One key that may log in to one account of the file server now."""

    instance: str
    account: str
    key: str  # "ssh-ed25519 ..."


def _alive() -> Select[StorageKey]:
    """Keys whose start goes on: nothing came after it but a restart, or a stop that is not done."""
    begun, later = aliased(IntentRow), aliased(IntentRow)
    stop_under_way = and_(later.kind == STOP, later.state != DONE)
    return (
        select(StorageKey)
        .join(Person, Person.id == StorageKey.owner)
        .join(begun, begun.id == StorageKey.intent)
        .where(
            StorageKey.revoked_at.is_(None),
            Person.active,
            begun.kind == START,
            begun.state != FAILED,
            not_(
                exists().where(
                    later.workspace == begun.workspace,
                    later.started_at > begun.started_at,
                    not_(or_(later.kind == RESTART, stop_under_way)),
                )
            ),
        )
    )


async def enrol(
    session: AsyncSession, *, owner: str, workspace: str, intent: str, accounts: list[str]
) -> str:
    """A new key for this start; the private half in OpenSSH's form, which is not shown again.

    Keys of earlier starts of the workspace end.
    """
    await session.execute(
        update(StorageKey)
        .where(
            StorageKey.owner == owner,
            StorageKey.workspace == workspace,
            StorageKey.revoked_at.is_(None),
        )
        .values(revoked_at=now())
    )
    key = Ed25519PrivateKey.generate()
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    session.add(
        StorageKey(
            owner=owner,
            workspace=workspace,
            intent=intent,
            public_key=base64.urlsafe_b64encode(raw).decode().rstrip("="),
            accounts=accounts,
        )
    )
    await session.flush()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


async def jwks(session: AsyncSession, instance: str) -> dict[str, list[dict[str, str]]] | None:
    """The instance's public keys as a JWK set, empty once it has ended; None if there was none."""
    if await session.get(StorageKey, instance) is None:
        return None
    row = await session.scalar(_alive().where(StorageKey.id == instance))
    keys = (
        []
        if row is None
        else [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": row.id}]
    )
    for each in keys:
        each["x"] = row.public_key if row else ""
    return {"keys": keys}


async def logins(session: AsyncSession) -> list[Login]:
    """All keys that may log in now, each with its account."""
    rows = list(await session.scalars(_alive().order_by(StorageKey.created_at)))
    owners = {row.owner for row in rows}
    members = {
        (member.person_id, f"{GROUP_ACCOUNT}{member.group_id}")
        for member in await session.scalars(
            select(GroupMember).where(GroupMember.person_id.in_(owners))
        )
    }
    return [
        Login(instance=row.id, account=account, key=_openssh(row.public_key))
        for row in rows
        for account in row.accounts
        if not account.startswith(GROUP_ACCOUNT) or (row.owner, account) in members
    ]


def _openssh(public_key: str) -> str:
    raw = base64.urlsafe_b64decode(public_key + "=" * (-len(public_key) % 4))
    name = b"ssh-ed25519"
    blob = len(name).to_bytes(4, "big") + name + len(raw).to_bytes(4, "big") + raw
    return f"{name.decode()} {base64.b64encode(blob).decode()}"
