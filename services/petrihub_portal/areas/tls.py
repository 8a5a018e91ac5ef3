"""The certificate of this site."""

import re

from fastapi.responses import PlainTextResponse, Response
from starlette.background import BackgroundTask

from petrihub_core import settings
from petrihub_core.errors import NotFound, PetriHubError
from petrihub_core.records import now
from petrihub_core.settings.fields import Invalid, as_text, controls, from_text
from petrihub_core.settings.store import version_of
from petrihub_portal import ordering
from petrihub_portal.areas.settings import READ, WRITE, expected_version
from petrihub_portal.certificate_store import CertificateSettings, CertificateStore
from petrihub_portal.certificates import (
    LARGEST,
    ONE_ORIGIN,
    checked,
    look_at,
    require_covered,
    self_signed,
)
from petrihub_portal.ordering import AcmeSettings
from petrihub_portal.pages import fragment, go, page
from petrihub_portal.replacing import put_back, replace, require_front, require_orderable
from petrihub_portal.routing import Area, Open
from petrihub_portal.visit import CurrentVisit, Visit, form_of

area = Area("TLS")

_HERE = "admin/tls"
_FILES = 2 * LARGEST + 64 * 1024  # bytes of a form with chain and key; refused in words above that
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")  # RFC 8555, section 8.3


def store_of(visit: Visit) -> CertificateStore:
    """The certificates of this portal's deployment."""
    portal = visit.portal
    return CertificateStore(portal.deployment, portal.database, portal.vault)


async def _show(
    visit: Visit, *, given: dict[str, str] | None = None, problem: PetriHubError | None = None
) -> Response:
    store = store_of(visit)
    there = await store.in_force()
    async with visit.portal.database.reading() as session:
        acme = await settings.read(session, AcmeSettings)
        version = await version_of(session, AcmeSettings)
        order = await ordering.newest(session)
    errors = problem.errors if isinstance(problem, Invalid) else {}
    return await page(
        visit,
        "tls.html",
        status=problem.status if problem else 200,
        front=visit.portal.deployment.front,
        there=there,
        certificate=look_at(there.chain) if there.chain else None,
        at=now(),
        earlier=[(each, look_at(each.content["chain"])) for each in await store.earlier()],
        controls=controls(AcmeSettings, given if given is not None else as_text(acme), errors),
        acme_version=version,
        acme_ready=acme.terms,
        has_errors=bool(errors),
        error=problem.jupyterhub_message if problem is not None and not errors else "",
        order=order,
        steps=ordering.STEPS,
        one_origin=ONE_ORIGIN,
        may_write=visit.may(WRITE),
    )


@area.page("GET", "/admin/tls", needs=READ)
async def show(visit: CurrentVisit) -> Response:
    """The certificate in force and the ways to another one."""
    return await _show(visit)


@area.page("POST", "/admin/tls/self-signed", needs=WRITE)
async def make_self_signed(visit: CurrentVisit) -> Response:
    """A certificate of our own, in force at once."""
    front = visit.portal.deployment.front
    try:
        require_front(visit.portal.deployment)
        pair = self_signed(front.domain, now(), subdomains=front.origins)
        await replace(store_of(visit), pair, "self-signed", by=visit.actor.name)
    except PetriHubError as exc:
        return await _show(visit, problem=exc)
    return go(visit, _HERE, said="A new self-signed certificate is in force.")


@area.page("POST", "/admin/tls/upload", needs=WRITE, max_body=_FILES)
async def upload(visit: CurrentVisit) -> Response:
    """A certificate with its key; refused with the reason before it is used."""
    form = await form_of(visit)
    chain, key = await form.file("chain"), await form.file("key")
    try:
        require_front(visit.portal.deployment)
        front = visit.portal.deployment.front
        pair = checked(chain, key, front.domain, now(), subdomains=front.origins)
        await replace(store_of(visit), pair, "uploaded", by=visit.actor.name)
    except PetriHubError as exc:
        return await _show(visit, problem=exc)
    return go(visit, _HERE, said="The uploaded certificate is in force.")


@area.page("POST", "/admin/tls/put-back/{version}", needs=WRITE)
async def put_earlier_back(visit: CurrentVisit, version: int) -> Response:
    """Put an earlier certificate in force again."""
    try:
        await put_version_back(visit, version)
    except PetriHubError as exc:
        return await _show(visit, problem=exc)
    return go(visit, _HERE, said="The earlier certificate is in force again.")


async def put_version_back(visit: Visit, version: int) -> None:
    """Put the certificate of this version in force again. Raises `NotFound` or what it refuses."""
    store = store_of(visit)
    chosen = next((each for each in await store.earlier() if each.version == version), None)
    if chosen is None:
        raise NotFound("This certificate is not kept any more.")
    wanted = CertificateSettings.model_validate(chosen.content)
    look = look_at(wanted.chain)
    if look.not_after <= now():
        raise Invalid({"": f"This certificate ended on {look.not_after:%d %B %Y}."})
    front = visit.portal.deployment.front
    require_covered(look.names, front.domain, subdomains=front.origins)
    await put_back(store, wanted, by=visit.actor.name)


@area.page("POST", "/admin/tls/acme", needs=WRITE, max_body=_FILES)
async def save_acme(visit: CurrentVisit) -> Response:
    """Save where certificates are ordered; with the second button, order one too."""
    form = await form_of(visit)
    given = {field: form.one(field) for field in AcmeSettings.model_fields}
    order_it = form.one("do") == "order"
    try:
        values = from_text(AcmeSettings, given)
        if order_it:
            require_orderable(visit.portal.deployment)
        async with visit.portal.database.session() as session:
            if values != await settings.read(session, AcmeSettings):
                await settings.write(
                    session, values, by=visit.actor.name, expected=expected_version(form)
                )
            order = await ordering.ask(session, by=visit.actor.name) if order_it else None
    except PetriHubError as exc:
        return await _show(visit, given=given, problem=exc)
    if order is None:
        return go(visit, _HERE, said="Where certificates are ordered is saved.")
    answer = go(visit, _HERE)
    answer.background = carrying_out(visit, order.id)
    return answer


def carrying_out(visit: Visit, order_id: str) -> BackgroundTask:
    """The order, carried out after the answer was sent."""
    return BackgroundTask(ordering.carry_out, store_of(visit), visit.portal.vault, order_id)


@area.page("GET", "/admin/tls/order", needs=READ)
async def progress(visit: CurrentVisit) -> Response:
    """How far the order is; the page asks every second while one runs."""
    async with visit.portal.database.reading() as session:
        order = await ordering.newest(session)
    answer = fragment(
        visit,
        "parts/tls_order.html",
        order=order,
        steps=ordering.STEPS,
        portal=visit.portal.prefix,
    )
    if order is not None and order.state == "done":
        answer.headers["HX-Refresh"] = "true"
    return answer


@area.page("GET", "/.well-known/acme-challenge/{token}", needs=Open.EVERYBODY)
async def challenge(visit: CurrentVisit, token: str) -> Response:
    """What the ACME server must read to see that the domain is ours."""
    text = None
    if _TOKEN.fullmatch(token):
        async with visit.portal.database.reading() as session:
            text = await ordering.answer_to(session, token)
    if text is None:
        return PlainTextResponse("No such challenge.\n", status_code=404)
    return PlainTextResponse(text, headers={"X-Content-Type-Options": "nosniff"})
