"""One-time links: the first administrator, an invitation, a new password.

Promises: the code is 256 random bits and only its SHA-256 is kept; it stands in the address's
fragment, which browsers do not send; a link works once, also when two browsers try at the same
moment; a refused link says why.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import Select, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit, settings
from petrihub_core.errors import Conflict, NotFound
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.records import Account, Person, RoleGrant, SignInLink, now
from petrihub_core.roles import RESEARCHER, SUPER_ADMIN
from petrihub_core.settings.pages import SignInSettings

_CODE_BYTES = 32
_LONGEST_CODE = 128  # characters looked at; ours have 43


class Kind(StrEnum):
    """What a link is for."""

    FIRST_ADMIN = "first-admin"
    INVITE = "invite"
    RESET = "reset"


LIFETIMES = {
    Kind.FIRST_ADMIN: timedelta(hours=24),
    Kind.INVITE: timedelta(days=7),
    Kind.RESET: timedelta(hours=24),
}

_OPEN = (SignInLink.used_at.is_(None), SignInLink.revoked_at.is_(None))

_NEXT_STEP = {
    Kind.FIRST_ADMIN: "Make a new one on the server with `petrihub admin link`.",
    Kind.INVITE: "Ask an administrator for a new invitation.",
    Kind.RESET: "Ask an administrator for a new reset link.",
}


@dataclass(frozen=True, kw_only=True)
class Brings:
    """What somebody gets who comes in by a link; `groups` are ids of groups."""

    role: str = RESEARCHER
    email: str | None = None
    groups: tuple[str, ...] = ()


NOTHING_MORE = Brings()


def address_of(public_url: str, code: str) -> str:
    """The link to hand over; the code is in the fragment, so that no server logs it."""
    return f"{public_url.rstrip('/')}/hub/welcome#{code}"


async def admin_exists(session: AsyncSession) -> bool:
    """Whether somebody can sign in as an administrator."""
    can_sign_in = or_(Person.issuer != LOCAL_ISSUER, exists().where(Account.person_id == Person.id))
    found = await session.scalar(
        select(Person.id)
        .join(RoleGrant, RoleGrant.person_id == Person.id)
        .where(RoleGrant.role == SUPER_ADMIN, Person.active, can_sign_in)
        .limit(1)
    )
    return found is not None


def new(
    kind: Kind,
    *,
    by: str,
    username: str | None = None,
    brings: Brings = NOTHING_MORE,
    lasts: timedelta | None = None,
) -> tuple[str, SignInLink]:
    """A code and its row, which the caller stores and audits."""
    moment = now()
    code = secrets.token_urlsafe(_CODE_BYTES)
    link = SignInLink(
        kind=kind,
        code_hash=_hashed(code),
        username=username,
        role=brings.role,
        email=brings.email,
        groups=list(brings.groups),
        created_by=by,
        created_at=moment,
        expires_at=moment + (lasts or LIFETIMES[kind]),
    )
    return code, link


async def make(
    session: AsyncSession,
    kind: Kind,
    *,
    by: str,
    username: str | None = None,
    brings: Brings = NOTHING_MORE,
) -> str:
    """The code of a new link; earlier links for the same purpose stop working.

    Raises `Conflict` for a first-admin link when there is an administrator.
    """
    if kind is Kind.FIRST_ADMIN:
        brings = Brings(role=SUPER_ADMIN)
        if await admin_exists(session):
            raise Conflict(
                "There is an administrator already.",
                hint="Sign in, or make a reset link with `petrihub admin reset NAME`.",
            )
    if kind is Kind.FIRST_ADMIN or username is not None:
        await session.execute(
            update(SignInLink)
            .where(SignInLink.kind == kind, SignInLink.username.is_not_distinct_from(username))
            .where(*_OPEN)
            .values(revoked_at=now())
        )
    lasts = await lifetime(session, kind)
    code, link = new(kind, by=by, username=username, brings=brings, lasts=lasts)
    session.add(link)
    await session.flush()
    await audit.record(
        session,
        actor=by,
        action=f"link.{kind}.made",
        target=username or link.id,
        detail={"link": link.id, "role": brings.role},
    )
    return code


async def look(session: AsyncSession, code: str) -> SignInLink:
    """The open link that this code belongs to; raises with the reason if there is none."""
    hashed = _hashed(code)
    link = await session.scalar(select(SignInLink).where(SignInLink.code_hash == hashed))
    if link is None or not hmac.compare_digest(link.code_hash, hashed):
        raise NotFound(
            "This code is not known here.",
            hint="Check that you have the whole link, or ask for a new one.",
        )
    _refuse_closed(link)
    if link.kind == Kind.FIRST_ADMIN and await admin_exists(session):
        raise Conflict("There is an administrator already.", hint="Sign in instead.")
    return link


async def take(session: AsyncSession, code: str) -> SignInLink:
    """Use the link up, in the caller's transaction; raises with the reason if that cannot be."""
    # two first-admin links, if ever there were two, must wait for each other: the second one then
    # sees the administrator that the first one made (SQLite has one writer at a time by nature)
    first = select(SignInLink.id).where(SignInLink.kind == Kind.FIRST_ADMIN)
    await session.execute(first.order_by(SignInLink.id).with_for_update())
    link = await look(session, code)
    taken = await session.execute(
        update(SignInLink)
        .where(SignInLink.id == link.id)
        .where(*_OPEN)
        .values(used_at=now())
        .returning(SignInLink.id)
    )
    if taken.scalar_one_or_none() is None:
        await session.refresh(link)
        _refuse_closed(link)
        raise Conflict("This link was used at this moment.", hint=_NEXT_STEP[Kind(link.kind)])
    return link


async def revoke(session: AsyncSession, link_id: str, *, by: str) -> None:
    """Close an open link; raises `NotFound` if there is no open one with this id."""
    closed = await session.execute(
        update(SignInLink)
        .where(SignInLink.id == link_id)
        .where(*_OPEN)
        .values(revoked_at=now())
        .returning(SignInLink.id)
    )
    if closed.scalar_one_or_none() is None:
        raise NotFound("This link is not open any more.", hint="Look at the list again.")
    await audit.record(session, actor=by, action="link.revoked", target=link_id)


async def close_all_of(session: AsyncSession, username: str) -> None:
    """Close every open link that is made out to this name."""
    await session.execute(
        update(SignInLink).where(SignInLink.username == username, *_OPEN).values(revoked_at=now())
    )


async def close_all_by(session: AsyncSession, username: str) -> None:
    """Close every open link that this person made: they may not hand them out any more."""
    await session.execute(
        update(SignInLink).where(SignInLink.created_by == username, *_OPEN).values(revoked_at=now())
    )


def open_invitations() -> Select[SignInLink]:
    """The query for invitations without a name that still work, the newest first."""
    return (
        select(SignInLink)
        .where(SignInLink.kind == Kind.INVITE, SignInLink.username.is_(None), *_OPEN)
        .where(SignInLink.expires_at > now())
        .order_by(SignInLink.created_at.desc(), SignInLink.id)
    )


async def count_open(session: AsyncSession, *, by: str) -> int:
    """How many links of this maker still work."""
    found = await session.scalar(
        select(func.count())
        .select_from(SignInLink)
        .where(SignInLink.created_by == by, SignInLink.expires_at > now(), *_OPEN)
    )
    return found or 0


async def lifetime(session: AsyncSession, kind: Kind) -> timedelta:
    """How long a link can be used: as an administrator set it, where it can be set."""
    chosen = await settings.read(session, SignInSettings)
    return {
        **LIFETIMES,
        Kind.INVITE: timedelta(days=chosen.invitation_days),
        Kind.RESET: timedelta(hours=chosen.reset_hours),
    }[kind]


def _hashed(code: str) -> str:
    # people paste the whole link as often as the code
    bare = code[-_LONGEST_CODE:].strip().rpartition("#")[2]
    return hashlib.sha256(bare.encode("utf-8", "replace")).hexdigest()


def _refuse_closed(link: SignInLink) -> None:
    what = {
        Kind.FIRST_ADMIN: "This first-administrator link",
        Kind.INVITE: "This invitation",
        Kind.RESET: "This reset link",
    }[Kind(link.kind)]
    hint = _NEXT_STEP[Kind(link.kind)]
    if link.used_at is not None:
        raise Conflict(f"{what} was used already; it works only once.", hint=hint)
    if link.revoked_at is not None:
        raise Conflict(f"{what} was withdrawn, or replaced by a newer one.", hint=hint)
    if link.expires_at <= now():
        raise Conflict(f"{what} has expired.", hint=hint)
