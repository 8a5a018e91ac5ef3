"""What PetriHub says about people's origins, and which certificates it takes with them."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from sqlalchemy import select

from petrihub_core.database import Database
from petrihub_core.deployment import Deployment, parse_deployment
from petrihub_core.records import CertificateOrder, new_id, now
from petrihub_core.roles import SUPER_ADMIN
from petrihub_core.settings.vault import Vault
from petrihub_portal import health
from petrihub_portal.certificate_store import CertificateStore, suffices
from petrihub_portal.certificates import look_at, self_signed
from petrihub_portal.context import Portal
from petrihub_portal.health import Level
from petrihub_portal.ordering import renew_if_due

from tests.portal.browsing import newcomer
from tests.portal.fronted import OWN_DOMAIN, Fronted, HttpsGuest, served
from tests.portal.guests import Guest

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def head(origins: Fronted) -> HttpsGuest:
    """A super admin where people have origins of their own."""
    return cast(HttpsGuest, newcomer(origins, SUPER_ADMIN, kind=HttpsGuest))


def test_the_first_certificate_is_for_the_site_and_all_origins(
    origins: Fronted, head: HttpsGuest
) -> None:
    told = head.get("api/v1/tls").json()
    assert told["names"] == [OWN_DOMAIN, f"*.{OWN_DOMAIN}"]
    assert {served(origins, name) for name in (OWN_DOMAIN, f"ada.{OWN_DOMAIN}")} == {told["sha256"]}
    made = head.api("POST", "tls/self-signed").json()
    assert made["names"] == told["names"]


def test_a_certificate_for_the_site_alone_is_refused_before_it_is_used(head: HttpsGuest) -> None:
    before = head.get("api/v1/tls").json()["sha256"]
    pair = self_signed(OWN_DOMAIN, now())
    answer = head.api("PUT", "tls/certificate", {"chain": pair.chain, "key": pair.key})
    assert (answer.status_code, answer.json()["title"]) == (400, "This was not understood")
    assert f"not for *.{OWN_DOMAIN}" in answer.json()["detail"]
    assert "front.subdomains = false" in answer.json()["hint"]
    assert head.get("api/v1/tls").json()["sha256"] == before


async def test_acme_says_what_it_cannot_do_before_anything_is_ordered(
    origins: Fronted, head: HttpsGuest
) -> None:
    page = head.get("admin/tls").text
    assert f"cannot prove *.{OWN_DOMAIN}" in page
    assert "front.subdomains = false" in page
    assert "Save and order" not in page
    answer = head.api("POST", "tls/order")
    assert (answer.status_code, "HTTP-01" in answer.json()["detail"]) == (501, True)
    tables = origins.database()
    async with tables.reading() as session:
        assert list(await session.scalars(select(CertificateOrder))) == []
    await tables.close()


def part(admin: Guest, name: str) -> dict[str, str]:
    found: list[dict[str, str]] = admin.get("api/v1/health").json()["components"]
    return next(each for each in found if each["part"] == name)


def test_where_all_share_one_address_it_says_for_whom_that_is(chief: HttpsGuest) -> None:
    told = part(chief, "origins")
    assert told["level"] == "yellow"
    assert "for trusted users only" in told["words"]
    assert "front.subdomains = true" in told["todo"]
    assert "for trusted users only" in chief.get("admin").text
    assert "for trusted users only" in chief.site.up.text


def test_a_missing_dns_record_is_named(origins: Fronted, head: HttpsGuest) -> None:
    told = part(head, "origins")  # nobody but our own clients knows this domain
    assert (told["level"], f"*.{OWN_DOMAIN}" in told["words"]) == ("yellow", True)
    assert "Add a DNS record" in told["todo"]
    assert "trusted users" not in head.get("admin").text + origins.up.text


FRONT = '[front]\nkind = "caddy"\ndomain = "localhost"\nsubdomains = false\n'


def deployed(folder: Path, text: str) -> Deployment:
    return parse_deployment(text, folder / "petrihub.toml")


@pytest.fixture
def before(tmp_path: Path) -> Deployment:
    """From before people had origins of their own."""
    return deployed(tmp_path, FRONT)


@pytest.fixture
def after(tmp_path: Path) -> Deployment:
    return deployed(tmp_path, FRONT.replace("false", "true"))


async def test_our_own_certificate_is_made_anew_when_origins_come(
    before: Deployment, after: Deployment, database: Database
) -> None:
    vault = Vault(before.secrets / "settings_keys")
    for deployment, names in ((before, ("localhost",)), (after, ("localhost", "*.localhost"))):
        store = CertificateStore(deployment, database, vault)
        await store.ensure()
        assert look_at((await store.in_force()).chain).names == names
    kept = await store.in_force()
    await store.ensure()
    assert await store.in_force() == kept


async def test_somebody_else_s_certificate_stays_and_what_is_missing_is_said(
    before: Deployment, after: Deployment, database: Database
) -> None:
    vault = Vault(before.secrets / "settings_keys")
    store = CertificateStore(after, database, vault)
    ends = now().replace(year=now().year - 1)
    there = await store.keep(self_signed("localhost", ends), "acme", by="ada")
    await store.ensure()
    assert await store.in_force() == there
    assert not suffices(there, after.front)
    portal = cast(Portal, SimpleNamespace(deployment=after, database=database))
    said = await health.PROBES["origins"][1](portal)
    assert (said.level, "*.localhost" in said.words) == (Level.RED, True)
    assert "Upload a certificate for localhost and *.localhost" in said.todo
    # its renewal would be refused: people are told instead
    assert not await renew_if_due(store, vault, new_id())
    async with database.reading() as session:
        assert list(await session.scalars(select(CertificateOrder))) == []
