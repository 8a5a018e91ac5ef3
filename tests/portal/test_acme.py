"""Certificates from a real ACME server (pebble), through the front's HTTP port; renewal in time."""

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from petrihub_core.database import Database
from petrihub_core.ports import free_port
from petrihub_core.records import (
    AcmeChallenge,
    AuditRow,
    CertificateOrder,
    Lease,
    Notification,
    new_id,
    now,
)
from petrihub_core.settings.vault import Vault
from petrihub_portal.certificate_store import CertificateStore
from petrihub_portal.certificates import look_at, self_signed
from petrihub_portal.ordering import renew_if_due

from tests.conftest import skip
from tests.portal.fronted import DOMAIN, Fronted, HttpsGuest, served

pytestmark = pytest.mark.timeout(120)


@contextmanager
def pebble(folder: Path, http_port: int) -> Iterator[tuple[str, str]]:
    """An ACME server that looks at challenges on `http_port`: its directory and its CA bundle."""
    if shutil.which("pebble") is None:
        skip("pebble is not installed (apt-get install pebble)")
    own = self_signed(DOMAIN, now())
    (folder / "chain.pem").write_text(own.chain)
    (folder / "key.pem").write_text(own.key)
    port = free_port()
    config = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{free_port()}",
        "certificate": str(folder / "chain.pem"),
        "privateKey": str(folder / "key.pem"),
        "httpPort": http_port,
        "tlsPort": free_port(),
        "retryAfter": {"authz": 1, "order": 1},
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["pebble", "-config", folder / "pebble.json"],
            stdout=log,
            stderr=log,
            # of every hundred good nonces it refuses so many
            env={**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "30"},
        )
    try:
        url = f"https://{DOMAIN}:{port}/dir"
        for _ in range(600):
            try:
                httpx.get(url, verify=False)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url, own.chain
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def authority(
    fronted: Fronted, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, object]]:
    with pebble(tmp_path_factory.mktemp("pebble"), fronted.deployment.front.http_port) as found:
        yield {
            "directory": found[0],
            "ca_bundle": found[1],
            "terms": True,
            "email": "a@example.org",
        }


@pytest.fixture
def store(fronted: Fronted, fronted_tables: Database) -> CertificateStore:
    return CertificateStore(fronted.deployment, fronted_tables, vault_of(fronted))


def vault_of(fronted: Fronted) -> Vault:
    return Vault(fronted.deployment.secrets / "settings_keys")


def save(chief: HttpsGuest, values: dict[str, object]) -> None:
    answer = chief.api("PUT", "settings/acme", {"values": values})
    assert answer.status_code == 200, answer.text


def wait(chief: HttpsGuest) -> dict[str, str]:
    """The order, once it has ended; the steps that were seen on the way are `seen`."""
    seen = []
    for _ in range(300):
        order = chief.api("GET", "tls/order").json()
        seen.append(order["step"])
        if order["state"] != "open":
            return {**order, "seen": ",".join(dict.fromkeys(seen))}
        time.sleep(0.1)
    raise AssertionError(order)


def test_a_certificate_is_ordered_and_put_in_force(
    fronted: Fronted, chief: HttpsGuest, authority: dict[str, object]
) -> None:
    save(chief, {**authority, "terms": False})
    refused = chief.api("POST", "tls/order")
    assert refused.status_code == 400
    assert "terms of service" in refused.json()["detail"]
    save(chief, authority)
    form = {**authority, "terms": "on", "do": "order"}
    assert chief.post("admin/tls/acme", form).status_code == 303
    order = wait(chief)
    assert (order["state"], order["step"]) == ("done", "done"), order
    state = chief.api("GET", "tls").json()
    assert state["kind"] == "acme"
    assert state["issuer"].startswith("Pebble")
    assert state["names"] == [DOMAIN]
    assert state["sha256"] == served(fronted)
    page = chief.get("admin/tls").text
    assert "renewed by itself" in page
    assert "the certificate was put in force" in page


async def test_of_two_replicas_one_renews_when_a_third_of_the_life_is_left(
    fronted: Fronted,
    chief: HttpsGuest,
    authority: dict[str, object],
    store: CertificateStore,
    fronted_tables: Database,
) -> None:
    save(chief, authority)
    await asyncio.to_thread(chief.api, "POST", "tls/order")
    assert (await asyncio.to_thread(wait, chief))["state"] == "done"
    before = served(fronted)
    look = look_at((await store.in_force()).chain)
    soon = look.not_after - (look.not_after - look.not_before) / 4
    vault = vault_of(fronted)
    assert not await renew_if_due(store, vault, new_id())  # there is time
    done = await asyncio.gather(
        *(renew_if_due(store, vault, new_id(), at=lambda: soon) for _ in range(2))
    )
    assert sorted(done) == [False, True]
    assert served(fronted) != before
    async with fronted_tables.reading() as session:
        by = list(
            await session.scalars(
                select(CertificateOrder.by).order_by(CertificateOrder.started_at.desc()).limit(2)
            )
        )
        assert by == ["petrihub", chief.name]
        assert not list(await session.scalars(select(AcmeChallenge.token)))


async def test_a_renewal_that_fails_is_told_to_those_who_may_help(
    fronted: Fronted,
    chief: HttpsGuest,
    authority: dict[str, object],
    store: CertificateStore,
    fronted_tables: Database,
    tmp_path: Path,
) -> None:
    save(chief, authority)
    await asyncio.to_thread(chief.api, "POST", "tls/order")
    await asyncio.to_thread(wait, chief)
    before = served(fronted)
    look = look_at((await store.in_force()).chain)
    with pebble(tmp_path, free_port()) as (directory, bundle):  # it looks at a port of nobody
        save(chief, {**authority, "directory": directory, "ca_bundle": bundle})
        await end_lease(fronted_tables)
        assert not await renew_if_due(
            store, vault_of(fronted), new_id(), at=lambda: look.not_after - timedelta(days=3)
        )
    order = chief.api("GET", "tls/order").json()
    assert order["state"] == "failed"
    assert "could not check that localhost is ours" in order["words"]
    assert served(fronted) == before
    async with fronted_tables.reading() as session:
        told = await session.scalars(
            select(Notification.title).where(Notification.person_id == chief.person_id)
        )
        assert list(told) == ["The certificate of this site ends in 3 days"]
        failed = await session.scalars(
            select(AuditRow.outcome).where(AuditRow.action == "certificate.order")
        )
        assert "failed" in list(failed)


async def end_lease(tables: Database) -> None:
    async with tables.session() as session:
        row = await session.get(Lease, "certificates")
        if row is not None:
            row.until = now() - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"directory": "https://localhost:9/dir"}, "does not answer"),
        ({"ca_bundle": ""}, "own certificate is not trusted"),
        ({"path": "/nonce-plz"}, "does not answer as one"),
        ({"path": "/root"}, "does not answer as one"),
    ],
    ids=["nobody there", "not trusted", "empty", "not found"],
)
def test_what_is_wrong_with_the_server_is_said_in_words(
    change: dict[str, str],
    words: str,
    fronted: Fronted,
    chief: HttpsGuest,
    authority: dict[str, object],
) -> None:
    before = served(fronted)
    values = {**authority, **change}
    if path := change.get("path"):
        del values["path"]
        values["directory"] = str(authority["directory"]).replace("/dir", path)
    save(chief, values)
    answer = chief.api("POST", "tls/order")
    assert answer.status_code == 202, answer.text
    order = wait(chief)
    assert order["state"] == "failed"
    assert words in order["words"]
    assert served(fronted) == before


@pytest.mark.parametrize(
    "directory",
    ["http://localhost/dir", "https://169.254.169.254/", "file:///etc/passwd", "https://a@b/", ""],
)
def test_an_address_that_is_none_of_an_acme_server_is_refused(
    chief: HttpsGuest, directory: str
) -> None:
    answer = chief.api("PUT", "settings/acme", {"values": {"directory": directory}})
    assert answer.status_code == 422, answer.text
    assert "directory" in answer.json()["detail"]


def test_a_challenge_that_nobody_asked_for_is_not_answered(fronted: Fronted) -> None:
    answer = httpx.get(f"{fronted.plain}/.well-known/acme-challenge/nothing")
    assert (answer.status_code, answer.text) == (404, "No such challenge.\n")
