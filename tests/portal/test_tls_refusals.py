"""A certificate is looked at before it is used: what is refused, and why in words."""

import ipaddress
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from petrihub_core.errors import Refused
from petrihub_portal.certificates import (
    checked,
    covers,
    look_at,
    new_key,
    publicly_trusted,
    self_signed,
)

NOW = datetime(2026, 5, 1, tzinfo=UTC)
PEM = serialization.Encoding.PEM
DOMAIN = "hub.example.org"


def key_pem(key: object, password: bytes | None = None) -> bytes:
    locked = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, locked)  # type: ignore[attr-defined, no-any-return]


def certificate(
    key: object,
    *,
    names: tuple[str, ...] = (DOMAIN,),
    begins: datetime = NOW - timedelta(days=1),
    ends: datetime = NOW + timedelta(days=90),
    signer: tuple[x509.Certificate, object] | None = None,
    subject: str = "site",
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(signer[0].subject if signer else name)
        .public_key(key.public_key())  # type: ignore[attr-defined]
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    )
    if names:
        listed = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
        builder = builder.add_extension(listed, critical=False)
    return builder.sign(signer[1] if signer else key, algorithm)  # type: ignore[arg-type]


KEY = ec.generate_private_key(ec.SECP256R1())
GOOD = certificate(KEY).public_bytes(PEM)


def test_a_good_pair_is_taken_and_kept_as_pem() -> None:
    pair = checked(GOOD, key_pem(KEY), DOMAIN, NOW)
    assert look_at(pair.chain).names == (DOMAIN,)
    assert "PRIVATE KEY" in pair.key
    assert "PRIVATE" not in repr(pair)


def test_a_chain_with_its_authority_is_taken_in_order_only() -> None:
    ca_key = ec.generate_private_key(ec.SECP384R1())
    ca = certificate(ca_key, names=(), subject="authority")
    site = certificate(KEY, signer=(ca, ca_key))
    ordered = site.public_bytes(PEM) + ca.public_bytes(PEM)
    assert look_at(checked(ordered, key_pem(KEY), DOMAIN, NOW).chain).issuer == "authority"
    stranger = certificate(ec.generate_private_key(ec.SECP256R1()), names=(), subject="stranger")
    with pytest.raises(Refused, match="do not follow each other"):
        checked(site.public_bytes(PEM) + stranger.public_bytes(PEM), key_pem(KEY), DOMAIN, NOW)
    with pytest.raises(Refused, match="does not belong to the first"):
        checked(ca.public_bytes(PEM) + site.public_bytes(PEM), key_pem(KEY), DOMAIN, NOW)


WEAK = rsa.generate_private_key(65537, 1024)
ED = ed25519.Ed25519PrivateKey.generate()
CUT = GOOD[:200] + b"\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("chain", "key", "words"),
    [
        pytest.param(b"", key_pem(KEY), "No certificate", id="nothing"),
        pytest.param(GOOD, b"", "No key", id="no key"),
        pytest.param(b"hello", key_pem(KEY), "not a PEM chain", id="garbage"),
        pytest.param(GOOD, b"\x00\xff", "not a private key", id="garbage as key"),
        pytest.param(CUT, key_pem(KEY), "not a PEM chain", id="cut"),
        pytest.param(b"x" * 70_000, key_pem(KEY), "larger than 64 KiB", id="too large"),
        pytest.param(GOOD, b"x" * 70_000, "larger than 64 KiB", id="key too large"),
        pytest.param(GOOD, new_key().encode(), "does not belong", id="mismatch"),
        pytest.param(GOOD, key_pem(KEY, b"word"), "passphrase", id="encrypted"),
        pytest.param(
            certificate(WEAK).public_bytes(PEM), key_pem(WEAK), "1024 bits", id="weak RSA"
        ),
        pytest.param(certificate(ED).public_bytes(PEM), key_pem(ED), "kind of key", id="Ed25519"),
        pytest.param(
            certificate(KEY, ends=NOW - timedelta(hours=1)).public_bytes(PEM),
            key_pem(KEY),
            "ended on 30 April 2026",
            id="expired",
        ),
        pytest.param(
            certificate(KEY, begins=NOW + timedelta(hours=1)).public_bytes(PEM),
            key_pem(KEY),
            "valid only from",
            id="not yet valid",
        ),
        pytest.param(
            certificate(KEY, names=("other.example.org",)).public_bytes(PEM),
            key_pem(KEY),
            "is for other.example.org, not for hub.example.org",
            id="wrong domain",
        ),
    ],
)
def test_a_bad_pair_is_refused_with_the_reason(chain: bytes, key: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words):
        checked(chain, key, DOMAIN, NOW)


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        ((DOMAIN,), f"*.{DOMAIN}"),
        ((f"*.{DOMAIN}",), DOMAIN),
        ((DOMAIN, f"ada.{DOMAIN}"), f"*.{DOMAIN}"),
        (("*.example.org",), f"*.{DOMAIN}"),
    ],
)
def test_where_people_have_origins_it_must_be_for_all_names(
    names: tuple[str, ...], missing: str
) -> None:
    chain = certificate(KEY, names=names).public_bytes(PEM)
    with pytest.raises(Refused) as refused:
        checked(chain, key_pem(KEY), DOMAIN, NOW, subdomains=True)
    assert f", not for {missing}" in refused.value.message
    assert missing in refused.value.hint
    if missing != DOMAIN:
        assert "front.subdomains = false" in refused.value.hint
        checked(chain, key_pem(KEY), DOMAIN, NOW)


def test_a_certificate_signed_with_sha1_is_refused(tmp_path: Path) -> None:
    # cryptography refuses to make one, so OpenSSL does
    (tmp_path / "key").write_bytes(key_pem(KEY))
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-sha1", "-key", "key", "-days", "30"),
            *("-subj", f"/CN={DOMAIN}", "-addext", f"subjectAltName=DNS:{DOMAIN}"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    ).stdout
    with pytest.raises(Refused, match="sha1"):
        checked(made, key_pem(KEY), DOMAIN, datetime.now(UTC) + timedelta(minutes=1))


@pytest.mark.parametrize("domain", [DOMAIN, "127.0.0.1", "a" * 60 + ".example.org"])
def test_what_we_sign_ourselves_passes_our_own_look(domain: str) -> None:
    pair = self_signed(domain, NOW, subdomains=True)
    below = domain[0] != "1"
    kept = checked(pair.chain.encode(), pair.key.encode(), domain, NOW, subdomains=below)
    assert kept.chain == pair.chain
    look = look_at(pair.chain)
    assert look.not_after - look.not_before == timedelta(days=397)
    assert look.key == "ECDSA secp256r1"
    assert not publicly_trusted(pair.chain, domain, NOW)
    if not domain[0].isdigit():
        assert f"*.{domain}" in look.names
    else:
        assert look.names == (str(ipaddress.ip_address(domain)),)


def test_renewal_is_due_when_a_third_of_the_life_is_left() -> None:
    look = look_at(self_signed(DOMAIN, NOW).chain)
    life = look.not_after - look.not_before
    assert not look.wants_renewal(look.not_after - life / 3 - timedelta(seconds=1))
    assert look.wants_renewal(look.not_after - life / 3 + timedelta(seconds=1))
    assert look.wants_renewal(look.not_after + timedelta(days=1))
    assert look.days_left(look.not_after + timedelta(hours=1)) == -1


def test_a_star_stands_for_one_label() -> None:
    assert covers(("*.example.org",), "hub.example.org")
    assert covers(("HUB.example.org",), "hub.Example.org")
    assert not covers(("*.example.org",), "a.hub.example.org")
    assert not covers(("*.example.org",), "example.org")
    assert not covers(("*",), "localhost")
