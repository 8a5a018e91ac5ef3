"""The certificate of this site by REST. ACME's settings are the settings page `acme`."""

from datetime import datetime
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from petrihub_core.errors import NotFound
from petrihub_core.records import CertificateOrder, now
from petrihub_portal import ordering
from petrihub_portal.areas.settings import READ, WRITE
from petrihub_portal.areas.tls import carrying_out, put_version_back, store_of
from petrihub_portal.certificates import LARGEST, checked, look_at, self_signed
from petrihub_portal.replacing import replace, require_front, require_orderable
from petrihub_portal.routing import Area
from petrihub_portal.visit import CurrentVisit, Visit

area = Area("TLS")

_BODY = 4 * LARGEST


class CertificateState(BaseModel):
    """The certificate in force; everything but `kind` and `front` is empty before there is one."""

    front: str
    domain: str
    kind: str
    trusted: bool
    names: list[str] = []
    issuer: str = ""
    key: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    days_left: int | None = None
    sha256: str = ""


class UploadBody(BaseModel):
    """A chain, the site's own certificate first, and its key; both PEM."""

    model_config = ConfigDict(extra="forbid")

    chain: str = Field(min_length=1, max_length=LARGEST)
    key: str = Field(min_length=1, max_length=LARGEST)


class OrderState(BaseModel):
    """An order by ACME: `state` is open, done or failed, `words` say why."""

    id: str
    by: str
    state: str
    step: str
    words: str
    started_at: datetime
    ended_at: datetime | None


def _order(row: CertificateOrder) -> OrderState:
    return OrderState.model_validate(row, from_attributes=True)


async def _state(visit: Visit) -> CertificateState:
    there = await store_of(visit).in_force()
    front = visit.portal.deployment.front
    state = CertificateState(
        front=front.kind, domain=front.domain, kind=there.kind, trusted=there.trusted
    )
    if not there.chain:
        return state
    look = look_at(there.chain)
    return state.model_copy(
        update={
            "names": list(look.names),
            "issuer": look.issuer,
            "key": look.key,
            "not_before": look.not_before,
            "not_after": look.not_after,
            "days_left": look.days_left(now()),
            "sha256": look.fingerprint,
        }
    )


@area.api("GET", "/tls", needs=READ)
async def certificate(visit: CurrentVisit) -> CertificateState:
    """The certificate in force; never its key."""
    return await _state(visit)


@area.api("POST", "/tls/self-signed", needs=WRITE)
async def make_self_signed(visit: CurrentVisit) -> CertificateState:
    """Make a certificate of our own and put it in force."""
    front = visit.portal.deployment.front
    require_front(visit.portal.deployment)
    pair = self_signed(front.domain, now(), subdomains=front.origins)
    await replace(store_of(visit), pair, "self-signed", by=visit.actor.name)
    return await _state(visit)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # what is no text is no PEM, and is refused as that


@area.api("PUT", "/tls/certificate", needs=WRITE, max_body=_BODY)
async def upload(visit: CurrentVisit, body: UploadBody) -> CertificateState:
    """Put a certificate in force; refused with the reason before it is used."""
    require_front(visit.portal.deployment)
    front = visit.portal.deployment.front
    chain, key = _bytes(body.chain), _bytes(body.key)
    pair = checked(chain, key, front.domain, now(), subdomains=front.origins)
    await replace(store_of(visit), pair, "uploaded", by=visit.actor.name)
    return await _state(visit)


@area.api("POST", "/tls/put-back/{version}", needs=WRITE)
async def put_earlier_back(
    visit: CurrentVisit, version: Annotated[int, Path(ge=1, le=2**31 - 1)]
) -> CertificateState:
    """Put the certificate of an earlier version in force again, while its key is kept."""
    require_front(visit.portal.deployment)
    await put_version_back(visit, version)
    return await _state(visit)


@area.api("POST", "/tls/order", needs=WRITE, status_code=202, response_model=OrderState)
async def order(visit: CurrentVisit) -> Response:
    """Order a certificate by ACME with the settings page `acme`; ask GET for how far it is."""
    require_orderable(visit.portal.deployment)
    async with visit.portal.database.session() as session:
        row = await ordering.ask(session, by=visit.actor.name)
    return JSONResponse(
        _order(row).model_dump(mode="json"),
        status_code=202,
        background=carrying_out(visit, row.id),
    )


@area.api("GET", "/tls/order", needs=READ)
async def newest_order(visit: CurrentVisit) -> OrderState:
    """The latest order; 404 before the first."""
    async with visit.portal.database.reading() as session:
        row = await ordering.newest(session)
    if row is None:
        raise NotFound("No certificate was ordered yet.")
    return _order(row)
