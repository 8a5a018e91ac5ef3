"""The diagnostics bundle: useful, and without a single secret (A65)."""

import io
import json
import tomllib
import zipfile
from dataclasses import replace

import pytest

from petrihub_cli.state import inner_ports, keys
from petrihub_core.audit_search import Filter, search
from petrihub_core.database import Database
from petrihub_core.database_address import DatabaseSection
from petrihub_core.settings.vault import Vault
from petrihub_portal import diagnostics
from petrihub_portal.redaction import Redactor
from petrihub_portal.serve import make_portal

from tests.portal.conftest import AddPerson
from tests.portal.guests import Guest, Site

CANARY = "c4nary"
LOGGED = f"""\
GET /hub/api/user Authorization: token {CANARY}0123456789abcdef
{{"headers": {{"Cookie": "petrihub-portal=gAAAA{CANARY}; _xsrf={CANARY}0001"}}}}
Set-Cookie: jupyterhub-session-id={CANARY}0002; HttpOnly
POST /hub/login?next=x&password={CANARY}0003&code={CANARY}0004
"password": "{CANARY}0005", "api_key": "{CANARY}0006"
connecting to postgresql://petrihub:{CANARY}0007@db.example/petrihub
-----BEGIN PRIVATE KEY-----
{CANARY}MIIEvQIBADANBgkqhkiG9w0
-----END PRIVATE KEY-----
random 9f8e7d6c5b4a39281706f5e4d3c2b1a0{CANARY} from 203.0.113.77, ada.{CANARY}@example.org
export SMTP_PASSWORD={CANARY}0008
JWT eyJhbGciOiJIUzI1NiJ9.{CANARY}eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N
"""


def opened(guest: Guest) -> dict[str, str]:
    answer = guest.get("api/v1/diagnostics")
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


async def test_no_secret_and_no_name_is_in_the_bundle(
    boss: Guest, tables: Database, site: Site
) -> None:
    vault = Vault(site.deployment.secrets / "settings_keys")
    kept = site.deployment.secrets / "canary"
    kept.write_text(f"{CANARY} in a file of secrets\n{CANARY}-file-0009")
    log = site.deployment.logs / "canary.log"
    log.write_text(LOGGED + f"{boss.name} came; the vault said {CANARY} mail password\n")
    async with tables.session() as session:
        await vault.seal(session, "email", "password", f"{CANARY} mail password", "tests")
    try:
        parts = opened(boss)
        assert {name for name, text in parts.items() if CANARY in text} <= {"logs/canary.log"}
        left = [line for line in parts["logs/canary.log"].splitlines() if CANARY in line]
        assert left == []
        for name, text in parts.items():
            assert boss.name not in text, name
            for file in site.deployment.secrets.iterdir():
                for secret in file.read_text().split():
                    assert len(secret) < 12 or secret not in text, (name, file.name)
        assert "GET /hub/api/user" in parts["logs/canary.log"], "what is no secret stays"
    finally:
        async with tables.session() as session:
            await vault.forget(session, "email", "password", "tests")
        kept.unlink()
        log.unlink()


async def test_no_secret_of_the_environment_or_of_an_address_is_in_the_bundle(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_RELAY_PASSWORD", f"{CANARY} of the relay")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{CANARY}/key+0010")
    address = f"postgresql+asyncpg://petrihub:{CANARY}%40%2Fdb@127.0.0.1:1/petrihub"
    elsewhere = DatabaseSection(url=address, hub_url=address.replace("asyncpg", "psycopg"))
    said = (f"{CANARY} of the relay", f"{CANARY}/key+0010", f"{CANARY}@/db", f"{CANARY}%40%2Fdb")
    log = site.deployment.logs / "canary.log"
    log.write_text("".join(f"it said {each} to us\n" for each in said))
    made = make_portal(
        site.deployment,
        keys(site.deployment),
        f"http://127.0.0.1:{inner_ports(site.deployment)['hub']}/hub/api",
    )
    portal = replace(made, deployment=made.deployment.model_copy(update={"database": elsewhere}))
    try:
        with zipfile.ZipFile(io.BytesIO(await diagnostics.bundle(portal))) as archive:
            parts = {name: archive.read(name).decode() for name in archive.namelist()}
        assert [name for name, text in parts.items() if CANARY in text] == []
        assert parts["logs/canary.log"].count("it said") == len(said)
        assert "postgresql+asyncpg" in parts["petrihub.toml"]
    finally:
        log.unlink()
        await made.hub.close()
        await made.database.close()


async def test_the_bundle_says_what_runs_here_and_that_it_was_made(
    boss: Guest, tables: Database, site: Site
) -> None:
    parts = opened(boss)
    assert "Look through it before you hand it on." in parts["about.txt"]
    assert json.loads(parts["versions.json"])["packages"]["petrihub"]
    assert tomllib.loads(parts["petrihub.toml"])["backend"] == "local"
    assert {each["part"] for each in json.loads(parts["health.json"])} >= {"hub", "database"}
    rows = json.loads(parts["tables.json"])
    assert rows["state"] == "current"
    assert rows["rows"]["people"] > 0
    assert parts["logs/hub.log"]
    async with tables.reading() as session:
        noted = await search(session, Filter(actor=boss.name, action="diagnostics.made"), limit=1)
    assert len(noted) == 1


async def test_only_who_may_gets_the_bundle(add_person: AddPerson, guest: Guest) -> None:
    technical = await add_person("technical-admin")
    assert technical.get("admin/diagnostics").status_code == 200
    assert guest.get("api/v1/diagnostics").status_code == 403
    assert (await add_person("auditor")).get("api/v1/diagnostics").status_code == 403


@pytest.mark.parametrize(
    "line",
    ["GET /services/portal/admin/people 200 12.5ms", '{"event": "reconciled", "what": "adopted"}'],
)
def test_ordinary_lines_stay_as_they_are(line: str) -> None:
    assert Redactor(["a-known-secret"], ["ada"]).text(line) == line


def test_a_name_goes_only_where_it_is_a_word_of_its_own() -> None:
    text = Redactor([], ["ada"]).text("ada at /user/ada/ adapts ada-1 at 127.0.0.1 and 10.1.2.3")
    assert text == "[name] at /user/[name]/ adapts ada-1 at 127.0.0.1 and [address]"
