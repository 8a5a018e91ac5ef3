"""The gate where each person has an origin of their own: real hub and proxy, by HTTPS."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.platform import ports_in_a_row
from tests.portal.fronted import ToThisMachine
from tests.sidecars.conftest import PAGE, Gated, Hub, Visitor
from tests.sidecars.wire import Handshake

DOMAIN = "hub.test"
COOKIE = "__Host-jupyterhub-user-ada-own"


def write_certificate(folder: Path) -> None:
    """For the domain and all names below it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DOMAIN)])
    names = x509.SubjectAlternativeName([x509.DNSName(DOMAIN), x509.DNSName(f"*.{DOMAIN}")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, plain))
    (folder / "key.pem").chmod(0o600)
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    made = Hub(tmp_path_factory.mktemp("origins"), ports_in_a_row(3), domain=DOMAIN)
    write_certificate(made.folder)
    made.start()
    for name in ("ada", "bob"):
        assert made.ask("POST", f"users/{name}").is_success
    yield made
    made.stop()


@pytest.fixture(scope="module")
def own(site: Hub) -> Iterator[Gated]:
    port = ports_in_a_row(2)
    made = Gated(site, "own", tool_port=port, identity_port=port + 1)
    made.start_tool()
    made.start_gate()
    yield made
    made.end()


class AtOwnOrigin(Visitor):
    """A browser whose pages are at the origin of ada's workspaces."""

    @property
    def origin(self) -> str:
        return f"https://ada.{DOMAIN}:{self.hub.port}"


@pytest.fixture
def ada(site: Hub) -> Iterator[Visitor]:
    with AtOwnOrigin(site, "ada", transport=ToThisMachine()) as browser:
        browser.sign_in()
        yield browser


def test_the_sign_in_leads_over_the_site_back_to_the_person_s_origin(
    own: Gated, ada: Visitor
) -> None:
    page = ada.open(own.path)  # at the site's address, as an old link may have it
    assert page.is_success
    # the hub counts how often it has led on, in the query
    assert str(page.url).partition("?")[0] == f"{ada.origin}{own.path}"
    passed = {each.url.host for each in page.history}
    assert passed == {DOMAIN, f"ada.{DOMAIN}"}
    assert page.json()["uri"].partition("?")[0] == "/"
    headers = {name.lower(): value for name, value in page.json()["headers"]}
    assert headers["x-forwarded-host"] == f"ada.{DOMAIN}:{own.hub.port}"
    assert headers["x-forwarded-proto"] == "https"


def test_its_cookie_is_for_this_origin_and_no_other_can_set_it(own: Gated, ada: Visitor) -> None:
    """A10: `__Host-`, so from no name beside or above it; the tool never sees it."""
    page = ada.open(f"{ada.origin}{own.path}")
    [cookie] = [each for each in ada.cookies.jar if each.name == COOKIE]
    assert (cookie.domain, cookie.path, cookie.secure) == (f"ada.{DOMAIN}", "/", True)
    assert not cookie.domain_specified
    assert COOKIE not in page.text
    assert cookie.value not in page.text


def test_websockets_work_there_and_only_for_pages_from_there(own: Gated, ada: Visitor) -> None:
    """A8: the site's own origin and a neighbour's are as foreign as any other."""
    assert ada.open(f"{ada.origin}{own.path}").is_success
    cookies = ada.cookie_header(f"{ada.origin}{own.path}")
    path = f"{own.path}socket"
    socket = Handshake(ada.origin, path, Origin=ada.origin, Cookie=cookies)
    assert socket.status == 101
    socket.say(b"hello")
    assert socket.hear() == b"hello"
    socket.close()
    for foreign in (own.hub.url, ada.origin.replace("ada.", "bob."), "https://evil.example"):
        refused = Handshake(ada.origin, path, Origin=foreign, Cookie=cookies)
        assert refused.status == 403, foreign
        refused.close()


def test_scripts_of_the_site_or_of_a_neighbour_read_and_change_nothing(
    own: Gated, ada: Visitor
) -> None:
    """A8, A16: same site is not same origin."""
    there = f"{ada.origin}{own.path}"
    assert ada.open(there).is_success
    assert ada.fetch("POST", there).is_success
    for foreign in (own.hub.url, ada.origin.replace("ada.", "bob.")):
        headers = {"Origin": foreign, "Sec-Fetch-Site": "same-site"}
        for method in ("GET", "POST"):
            assert ada.fetch(method, there, headers=headers).status_code == 403, (method, foreign)


def test_a_workspace_answers_at_no_other_origin(own: Gated, ada: Visitor) -> None:
    assert ada.open(f"{ada.origin}{own.path}").is_success
    elsewhere = f"https://bob.{DOMAIN}:{own.hub.port}{own.path}"
    answer = ada.get(elsewhere, headers=PAGE, follow_redirects=False)
    assert "x-petrihub-identity" not in answer.text.lower()
    assert answer.status_code in (302, 403, 404)
