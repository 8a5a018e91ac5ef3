"""The front's copy of the certificate, written by several replicas at once."""

import asyncio
import threading
from pathlib import Path

import pytest

from petrihub_core.addresses import FrontSection
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.records import now
from petrihub_core.settings.vault import Vault
from petrihub_portal import certificate_store
from petrihub_portal.certificate_store import CertificateStore
from petrihub_portal.certificates import self_signed

DOMAIN = "hub.example"


async def test_a_slow_replica_never_puts_an_older_certificate_over_a_newer_one(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = Deployment(state=tmp_path, front=FrontSection(kind="caddy", domain=DOMAIN))
    vault = Vault(deployment.secrets / "settings_keys")
    slow, quick = (CertificateStore(deployment, database, vault) for _ in range(2))
    older, newer = (self_signed(DOMAIN, now()) for _ in range(2))
    write, begun, go_on = certificate_store._replace, threading.Event(), threading.Event()

    def write_slowly(path: Path, text: str) -> None:
        if older.chain in text:
            begun.set()
            go_on.wait(30)
        write(path, text)

    monkeypatch.setattr(certificate_store, "_replace", write_slowly)
    await slow.keep(older, "self-signed", by="ada")
    first = asyncio.create_task(slow.write_file())
    await asyncio.to_thread(begun.wait, 30)
    await quick.keep(newer, "self-signed", by="ada")
    second = asyncio.create_task(quick.write_file())
    await asyncio.wait([second], timeout=1)  # it waits, or would be done long ago
    go_on.set()
    await asyncio.gather(first, second)
    assert newer.chain in deployment.certificate_file.read_text()
