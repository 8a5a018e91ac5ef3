"""A new certificate in two steps: put in force, looked at from outside, put back if it fails."""

import asyncio
import hashlib
import http.client
import socket
import ssl
import time
from contextlib import suppress

from petrihub_core.deployment import Deployment
from petrihub_core.errors import Conflict, PetriHubError, Unsupported
from petrihub_core.web import PORTAL_PREFIX
from petrihub_portal.certificate_store import CertificateSettings, CertificateStore, Kind
from petrihub_portal.certificates import ONE_ORIGIN, Pair, look_at

_SECONDS = 10.0  # for the front to serve what it was given
_PAUSE = 0.25


def require_front(deployment: Deployment) -> None:
    """Raise `Unsupported` with the next step unless there is a front that serves certificates."""
    if deployment.front.kind == "none":
        raise Unsupported(
            "PetriHub is served by plain HTTP, so a certificate would not be used.",
            hint='Set kind = "caddy" and domain in [front] of petrihub.toml, then start again.',
        )


def require_orderable(deployment: Deployment) -> None:
    """Raise `Unsupported` with the ways out unless ACME could give all of the site's names."""
    require_front(deployment)
    domain = deployment.front.domain
    if deployment.front.origins:
        raise Unsupported(
            f"ACME as PetriHub speaks it (HTTP-01) cannot prove *.{domain}, where each person's "
            "workspaces are.",
            hint=f"Upload a certificate for {domain} and *.{domain}. {ONE_ORIGIN}",
        )


async def replace(store: CertificateStore, pair: Pair, kind: Kind, *, by: str) -> None:
    """Put a checked pair in force.

    If the front does not serve it within ten seconds, the earlier one is put back and `Conflict`
    says why.
    """
    require_front(store.deployment)
    before = await store.in_force()
    await store.keep(pair, kind, by=by)
    await _prove(store, before, look_at(pair.chain).fingerprint, by=by)


async def put_back(store: CertificateStore, wanted: CertificateSettings, *, by: str) -> None:
    """Put an earlier certificate in force again, with the same proof."""
    require_front(store.deployment)
    before = await store.in_force()
    await store.put_back(wanted, by=by, why="an administrator asked for it")
    await _prove(store, before, wanted.fingerprint, by=by)


async def _prove(
    store: CertificateStore, before: CertificateSettings, fingerprint: str, *, by: str
) -> None:
    try:
        await store.write_file()
        why = await asyncio.to_thread(_wait_until_served, store.deployment, fingerprint)
    except PetriHubError as exc:
        why = exc.message
    if not why:
        return
    if before.kind == "none":
        raise Conflict(
            f"The new certificate is kept, but the front does not serve it: {why}",
            hint="Look at the front's log, front.log.",
        )
    await store.put_back(before, by=by, why=why)
    with suppress(PetriHubError):  # it could not be written a moment ago: then the old one is there
        await store.write_file()
    raise Conflict(
        f"The front did not serve the new certificate, so the earlier one is back: {why}",
        hint="Look at the front's log, front.log, then try again.",
    )


def _wait_until_served(deployment: Deployment, fingerprint: str) -> str:
    """Empty once the front serves this certificate, and our pages with it; else why not. Blocks."""
    end = time.monotonic() + _SECONDS
    while True:
        why = _look(deployment, fingerprint)
        if not why or time.monotonic() > end:
            return why
        time.sleep(_PAUSE)


def _look(deployment: Deployment, fingerprint: str) -> str:
    host, port = deployment.front.reached_at
    # whether it is the right one is decided by its fingerprint, not by who vouches for it
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=deployment.front.domain) as secure,
        ):
            served = hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()
            if served != fingerprint:
                return f"it still serves the one with the fingerprint {served[:16]}…"
            return _ask_for_a_page(secure, deployment)
    except (OSError, http.client.HTTPException) as exc:
        return f"no HTTPS connection to {host}:{port} ({exc.__class__.__name__})."


def _ask_for_a_page(secure: ssl.SSLSocket, deployment: Deployment) -> str:
    front = deployment.front
    connection = http.client.HTTPConnection(front.domain, front.https_port)
    connection.sock = secure
    connection.request("GET", f"{PORTAL_PREFIX}api/v1/alive")
    status = connection.getresponse().status
    return "" if status == 200 else f"it answers our pages with the status {status}."
