"""Certificates by ACME: ordered by an administrator or when the old one nears its end.

Every step is written to the database, so that the page shows it from any replica, and an order
whose replica died counts as failed once its deadline has passed.
"""

import asyncio
import ipaddress
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit, settings
from petrihub_core.errors import Conflict, PetriHubError, Refused
from petrihub_core.feed import Kind, Line, tell
from petrihub_core.logs import get_logger
from petrihub_core.records import AcmeChallenge, CertificateOrder, Lease, Person, RoleGrant, now
from petrihub_core.roles import ROLES, Permission
from petrihub_core.settings import SettingsPage
from petrihub_core.settings.vault import Vault
from petrihub_portal import acme_client
from petrihub_portal.certificate_store import CertificateStore
from petrihub_portal.certificates import checked, look_at, new_key
from petrihub_portal.replacing import replace, require_orderable

log = get_logger(__name__)

STEPS = {
    "account": "Registering at the ACME server",
    "challenge": "Showing that the domain is ours",
    "apply": "Putting the certificate in force",
    "done": "Done",
}
_TAKES_AT_MOST = timedelta(minutes=5)
_ACCOUNT_KEY = "account_key"
_BY_ITSELF = "petrihub"
_LEASE = "certificates"


class AcmeSettings(SettingsPage):
    """Where certificates are ordered."""

    page: ClassVar[str] = "acme"
    title: ClassVar[str] = "ACME"

    directory: str = Field(
        "https://acme-v02.api.letsencrypt.org/directory",
        title="Directory address",
        max_length=300,
        description="Where the ACME server lists its services; begins with https://.",
    )
    email: str = Field(
        "",
        title="E-mail",
        max_length=254,
        pattern=r"^([^@\s]+@[^@\s]+)?$",
        description="Where the server writes when something is wrong; may stay empty.",
    )
    terms: bool = Field(
        False,
        title="Terms accepted",
        description="Whether you accept the terms of service of that ACME server.",
    )
    ca_bundle: str = Field(
        "",
        title="CA bundle",
        max_length=100_000,
        description="For a private server: the certificates of its authority, in PEM.",
        json_schema_extra={"multiline": True},
    )

    @field_validator("directory")
    @classmethod
    def _is_https(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "https" or not parts.hostname or parts.username or not value.isascii():
            raise ValueError("the address must begin with https:// and name a server")
        try:
            address = ipaddress.ip_address(parts.hostname)
        except ValueError:
            return value
        # an authority of one's own network is fine; a cloud's metadata service is not
        if address.is_link_local or address.is_multicast or address.is_unspecified:
            raise ValueError("an ACME server cannot be at this address")
        return value

    @field_validator("ca_bundle")
    @classmethod
    def _is_pem(cls, value: str) -> str:
        if value.strip() and "-----BEGIN CERTIFICATE-----" not in value:
            raise ValueError("this is no PEM text: it begins with -----BEGIN CERTIFICATE-----")
        return value.strip()


async def ask(session: AsyncSession, *, by: str) -> CertificateOrder:
    """Write down a new order; raises `Conflict` while one runs, `Refused` without the terms."""
    chosen = await settings.read(session, AcmeSettings)
    # first, since who writes the audit trail is alone: two who ask at once come one by one
    await audit.record(
        session,
        actor=by,
        action="certificate.ordered",
        target=urlsplit(chosen.directory).hostname or "",
    )
    await _end_abandoned(session)
    running = select(CertificateOrder.id).where(CertificateOrder.state == "open")
    if await session.scalar(running.limit(1)):
        raise Conflict("A certificate is being ordered already.", hint="Wait until it is done.")
    if not chosen.terms:
        raise Refused(
            "The terms of service of the ACME server are not accepted yet.",
            hint="Tick “Terms accepted” and save, then order.",
        )
    order = CertificateOrder(by=by, deadline=now() + _TAKES_AT_MOST)
    session.add(order)
    await session.flush()
    return order


async def newest(session: AsyncSession) -> CertificateOrder | None:
    """The latest order, running or ended."""
    return await session.scalar(
        select(CertificateOrder).order_by(CertificateOrder.started_at.desc()).limit(1)
    )


async def carry_out(store: CertificateStore, vault: Vault, order_id: str) -> bool:
    """Carry an order to its end; whether it gave a certificate. Its row says why not."""
    try:
        await _carry_out(store, vault, order_id)
    except PetriHubError as exc:
        await _end(store, order_id, "failed", exc.jupyterhub_message)
        return False
    except Exception:
        log.exception("a certificate order failed")
        await _end(store, order_id, "failed", "Something unexpected happened; see portal's log.")
        return False
    await _end(store, order_id, "done", "The new certificate is in force.")
    return True


async def _carry_out(store: CertificateStore, vault: Vault, order_id: str) -> None:
    front = store.deployment.front
    require_orderable(store.deployment)
    async with store.database.session() as session:
        order = await session.get_one(CertificateOrder, order_id)
        by = order.by
        chosen = await settings.read(session, AcmeSettings)
        account_key = await vault.open(session, chosen.page, _ACCOUNT_KEY)
        if account_key is None:
            account_key = new_key()
            await vault.seal(session, chosen.page, _ACCOUNT_KEY, account_key, by)
    wish = acme_client.Wish(
        directory=chosen.directory,
        email=chosen.email,
        domain=front.domain,
        account_key=account_key,
        key=new_key(),
        ca_bundle=chosen.ca_bundle,
    )
    begun = await asyncio.to_thread(acme_client.begin, wish)
    async with store.database.session() as session:
        (await session.get_one(CertificateOrder, order_id)).step = "challenge"
        await session.execute(delete(AcmeChallenge).where(AcmeChallenge.expires_at < now()))
        for each in begun.answers:
            await session.merge(
                AcmeChallenge(
                    token=each.token, authorization=each.text, expires_at=now() + _TAKES_AT_MOST
                )
            )
    chain = await asyncio.to_thread(acme_client.finish, begun)
    async with store.database.session() as session:
        (await session.get_one(CertificateOrder, order_id)).step = "apply"
        tokens = [each.token for each in begun.answers]
        await session.execute(delete(AcmeChallenge).where(AcmeChallenge.token.in_(tokens)))
    pair = checked(chain.encode(), wish.key.encode(), front.domain, now())
    await replace(store, pair, "acme", by=by)


async def _end(store: CertificateStore, order_id: str, state: str, words: str) -> None:
    async with store.database.session() as session:
        order = await session.get_one(CertificateOrder, order_id)
        order.state, order.words, order.ended_at = state, words[:1000], now()
        if state == "done":
            order.step = "done"
            return
        await audit.record(
            session,
            actor=order.by,
            action="certificate.order",
            target=store.deployment.front.domain,
            outcome="failed",
            detail={"why": words},
        )


async def _end_abandoned(session: AsyncSession) -> None:
    """Orders whose replica died count as failed."""
    at = now()
    await session.execute(
        update(CertificateOrder)
        .where(CertificateOrder.state == "open", CertificateOrder.deadline < at)
        .values(state="failed", ended_at=at, words="It was interrupted. Order again.")
    )


async def answer_to(session: AsyncSession, token: str) -> str | None:
    """What the ACME server must read at this token; None if nobody asked for it."""
    row = await session.get(AcmeChallenge, token)
    return row.authorization if row is not None and row.expires_at > now() else None


async def renew_if_due(
    store: CertificateStore, vault: Vault, holder: str, at: Callable[[], datetime] = now
) -> bool:
    """Order anew when a third of the life is left; whether that was done and succeeded.

    Of several replicas one does it: who takes the lease. Administrators read in their feed when
    a renewal fails, and when a certificate that cannot renew itself nears its end.
    """
    there = await store.in_force()
    if there.kind == "none" or not look_at(there.chain).wants_renewal(at()):
        return False
    async with store.database.session() as session:
        if not await take_lease(session, _LEASE, holder, _TAKES_AT_MOST + timedelta(minutes=1)):
            return False
        if there.kind != "acme" or store.deployment.front.origins:
            await _warn(session, look_at(there.chain).days_left(at()), at())
            return False
        newer = await settings.read(session, type(there))
        if newer.fingerprint != there.fingerprint:
            return False  # another replica was first
        try:
            order = await ask(session, by=_BY_ITSELF)
        except (Conflict, Refused):
            return False
    done = await carry_out(store, vault, order.id)
    if not done:
        async with store.database.session() as session:
            await _warn(session, look_at(there.chain).days_left(at()), at())
    return done


async def take_lease(session: AsyncSession, name: str, holder: str, how_long: timedelta) -> bool:
    """Whether it is this holder's turn for so long; a lease that ran out is anybody's."""
    at = now()
    row = await session.get(Lease, name, with_for_update=True)
    if row is None:
        try:
            async with session.begin_nested():
                session.add(Lease(name=name, holder=holder, until=at + how_long))
        except IntegrityError:
            return False  # another replica was first in this moment
        return True
    if row.holder != holder and row.until > at:
        return False
    row.holder, row.until = holder, at + how_long
    return True


async def _warn(session: AsyncSession, days: int, at: datetime) -> None:
    """Tell everybody who may do something about it, once a day."""
    roles = [role.id for role in ROLES.values() if Permission.SETTINGS_WRITE in role.permissions]
    people = await session.scalars(
        select(RoleGrant.person_id)
        .join(Person, Person.id == RoleGrant.person_id)
        .where(RoleGrant.role.in_(roles), Person.active)
        .distinct()
    )
    left = "today" if days <= 0 else f"in {days} day{'s' if days != 1 else ''}"
    for person_id in list(people):
        line = Line(
            kind=Kind.FAILED,
            title=f"The certificate of this site ends {left}",
            text="It was not renewed. After that day browsers refuse to open this site.",
            link="/services/portal/admin/tls",
            link_title="Look at the certificate",
            key=f"certificate:{person_id}:{at:%Y-%m-%d}",
        )
        await tell(session, person_id, line)
