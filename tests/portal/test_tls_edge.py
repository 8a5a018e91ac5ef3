"""Known names, and HTTPS for good once browsers trust the certificate."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from starlette.responses import PlainTextResponse

from petrihub_core import settings
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment, parse_deployment
from petrihub_core.errors import ConfigError
from petrihub_core.host_names import HostNames
from petrihub_core.ports import free_port
from petrihub_portal.certificate_store import CertificateSettings
from petrihub_portal.context import Portal
from petrihub_portal.edge import Edge

from tests.portal.guests import PORTAL

FILE = """\
[address]
names = ["studio.lan"]
[front]
kind = "caddy"
domain = "hub.example.org"
"""


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return parse_deployment(FILE, tmp_path / "petrihub.toml")


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("hub.example.org", True),
        ("HUB.example.org:443", True),
        ("studio.lan", True),
        ("localhost:8000", True),
        ("127.0.0.1", True),
        ("192.0.2.7:8000", True),
        ("[::1]:8000", True),
        ("a.hub.example.org", False),
        ("evil.example", False),
        ("hub.example.org.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        (":80", False),
        ("hub.example.org:evil", False),
        ("[evil]", False),
    ],
)
def test_a_name_is_ours_or_it_is_not(deployment: Deployment, host: str, known: bool) -> None:
    assert HostNames(deployment).knows(host) is known


@pytest.mark.parametrize("subdomains", ["true", "false"])
def test_a_person_s_origin_is_no_name_of_the_site(tmp_path: Path, subdomains: str) -> None:
    text = f"{FILE}subdomains = {subdomains}\n".replace("studio.lan", "ada.hub.example.org")
    names = HostNames(parse_deployment(text, tmp_path / "petrihub.toml"))
    assert names.knows("hub.example.org")
    told = json.loads(names.for_the_proxy())
    people = subdomains == "true"
    assert told["below"] == (".hub.example.org" if people else "")
    # not even where an operator, or the machine, calls itself so
    assert names.knows("ada.hub.example.org") is not people
    assert ("ada.hub.example.org" in told["names"]) is not people


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('[front]\nkind = "caddy"', "needs a domain"),
        ('[front]\nkind = "nginx"', "front.kind"),
        ('[front]\nkind = "caddy"\ndomain = "http://x"', "front.domain"),
        ('[front]\nkind = "caddy"\ndomain = "192.0.2.7"', "subdomains = false"),
        ('[front]\nkind = "caddy"\ndomain = "x.y"\nhttp_port = 443', "must differ"),
        ('[front]\ncertificate = "x"', "no such setting"),
        ('[address]\nnames = [""]', "address.names"),
    ],
)
def test_a_front_that_cannot_be_is_refused_at_the_start(
    line: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_deployment(line, tmp_path / "petrihub.toml")


def test_the_address_to_open_is_the_fronts(deployment: Deployment) -> None:
    assert deployment.public_url == "https://hub.example.org"
    assert deployment.proxy_url == "http://127.0.0.1:8000"


def portal_of(deployment: Deployment, database: Database) -> Portal:
    made = SimpleNamespace(deployment=deployment, database=database, prefix=PORTAL)
    return cast(Portal, made)


async def ask(edge: Edge, scheme: str, host: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=cast(Any, edge))
    async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://{host}") as client:
        return await client.get("/")


async def test_browsers_stay_with_https_once_the_certificate_is_trusted(
    deployment: Deployment, database: Database
) -> None:
    for trusted in (False, True):
        async with database.session() as session:
            chosen = CertificateSettings(kind="acme", trusted=trusted)
            await settings.write(session, chosen, by="tests")
        edge = Edge(PlainTextResponse("fine"), portal_of(deployment, database))
        secure = await ask(edge, "https", "hub.example.org")
        told = secure.headers.get("strict-transport-security")
        assert told == ("max-age=2592000" if trusted else None)
        plain = await ask(edge, "http", "hub.example.org")
        assert "strict-transport-security" not in plain.headers
    assert (await ask(edge, "https", "evil.example")).status_code == 400


async def test_while_the_database_is_away_what_was_known_holds(
    deployment: Deployment, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petrihub_portal.edge._REMEMBER", 0.0)
    async with database.session() as session:
        await settings.write(session, CertificateSettings(kind="acme", trusted=True), by="tests")
    edge = Edge(PlainTextResponse("fine"), portal_of(deployment, database))
    assert "strict-transport-security" in (await ask(edge, "https", "hub.example.org")).headers
    url = f"postgresql+asyncpg://petrihub@127.0.0.1:{free_port()}/away"
    async with Database.open(url) as away:
        edge._portal = portal_of(deployment, away)
        answer = await ask(edge, "https", "hub.example.org")
    assert answer.text == "fine"
    assert "strict-transport-security" in answer.headers
