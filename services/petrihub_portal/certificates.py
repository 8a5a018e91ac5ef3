"""Certificates themselves: made, looked at, and refused in words before they are used. Pure."""

import ipaddress
import itertools
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from petrihub_core.errors import Refused

LARGEST = 64 * 1024  # bytes of a chain or a key
_MOST_CERTIFICATES = 10
_SELF_SIGNED_DAYS = 397  # what browsers accept at most
_CLOCKS_DIFFER = timedelta(hours=1)
_SMALLEST_RSA = 2048  # bits; NIST SP 800-131A
_CURVES = (ec.SECP256R1, ec.SECP384R1)  # what browsers take
_WEAK_HASHES = (hashes.MD5, hashes.SHA1)
# the other way out, wherever a certificate for all names below the domain is missing
ONE_ORIGIN = "Or set front.subdomains = false in petrihub.toml: then it is for trusted users only."

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Pair:
    """A certificate chain, the site's own first, with its key; both PEM."""

    chain: str
    key: str

    def __repr__(self) -> str:
        return "Pair(...)"  # a key must not get into a log by accident


@dataclass(frozen=True, kw_only=True)
class Look:
    """What can be said of a certificate. `fingerprint` is the SHA-256 in hex digits."""

    names: tuple[str, ...]
    issuer: str
    not_before: datetime
    not_after: datetime
    fingerprint: str
    key: str

    def days_left(self, at: datetime) -> int:
        """Whole days until it ends; negative when it has."""
        return (self.not_after - at).days

    def wants_renewal(self, at: datetime) -> bool:
        """Whether a third of its life or less is left."""
        return self.not_after - at <= (self.not_after - self.not_before) / 3


def look_at(chain: str) -> Look:
    """The first certificate of a PEM chain that was checked before."""
    leaf = x509.load_pem_x509_certificates(chain.encode())[0]
    issuers = leaf.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    issuer = str(issuers[0].value) if issuers else leaf.issuer.rfc4514_string()
    return Look(
        names=_names(leaf),
        issuer="this site itself" if leaf.issuer == leaf.subject else issuer[:160],
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
        key=_key_words(leaf.public_key()),
    )


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = [str(each) for each in names.get_values_for_type(x509.IPAddress)]
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def _key_words(key: object) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size} bits"
    return f"ECDSA {key.curve.name}" if isinstance(key, ec.EllipticCurvePublicKey) else "other"


def new_key() -> str:
    """A fresh ECDSA P-256 key as PEM."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def _key_pem(key: Key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def self_signed(domain: str, at: datetime, *, subdomains: bool = False) -> Pair:
    """A certificate that only this site vouches for; browsers warn until somebody accepts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain[:64])])
    names: list[x509.GeneralName] = []
    try:
        names.append(x509.IPAddress(ipaddress.ip_address(domain)))
    except ValueError:
        names.append(x509.DNSName(domain))
        if subdomains:
            names.append(x509.DNSName(f"*.{domain}"))
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - _CLOCKS_DIFFER)
        .not_valid_after(at - _CLOCKS_DIFFER + timedelta(days=_SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM).decode(), _key_pem(key))


def checked(
    chain: bytes, key: bytes, domain: str, at: datetime, *, subdomains: bool = False
) -> Pair:
    """The pair, if the site could use it now; raises `Refused` with the reason and the next step.

    `chain` and `key` are what somebody uploaded: PEM, in any order after the site's own. With
    `subdomains` it must be good for all names directly below the domain too.
    """
    certificates = _certificates(chain)
    loaded = _key(key)
    leaf = certificates[0]
    if leaf.public_key() != loaded.public_key():
        raise Refused(
            "The key does not belong to the first certificate.",
            hint="Upload the key that the certificate was requested with; the site's own "
            "certificate must come first in the chain.",
        )
    _check_time(leaf, at)
    _check_strength(certificates)
    _check_chain(certificates)
    require_covered(_names(leaf), domain, subdomains=subdomains)
    pem = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)
    return Pair(pem.decode(), _key_pem(loaded))


def _certificates(chain: bytes) -> list[x509.Certificate]:
    if not chain.strip():
        raise Refused("No certificate was given.", hint="Choose the file with the chain in PEM.")
    if len(chain) > LARGEST:
        raise Refused("The certificate file is larger than 64 KiB.", hint="Is it the right file?")
    try:
        found = x509.load_pem_x509_certificates(chain)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise Refused(
            "The certificate file is not a PEM chain.",
            hint="It begins with -----BEGIN CERTIFICATE-----; a .pfx or .der file must be "
            "converted first.",
        ) from exc
    if len(found) > _MOST_CERTIFICATES:
        raise Refused(f"The chain has more than {_MOST_CERTIFICATES} certificates.")
    return found


def _key(text: bytes) -> Key:
    if not text.strip():
        raise Refused("No key was given.", hint="Choose the file with the private key in PEM.")
    if len(text) > LARGEST:
        raise Refused("The key file is larger than 64 KiB.", hint="Is it the right file?")
    try:
        key = serialization.load_pem_private_key(text, password=None)
    except TypeError as exc:
        raise Refused(
            "The key is protected by a passphrase, which nobody could type at each start.",
            hint="Remove it with: openssl pkey -in key.pem -out plain.pem",
        ) from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise Refused(
            "The key file is not a private key in PEM.",
            hint="It begins with -----BEGIN PRIVATE KEY----- or similar.",
        ) from exc
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < _SMALLEST_RSA:
            raise Refused(
                f"The RSA key has {key.key_size} bits, which is too weak.",
                hint=f"Request a certificate with {_SMALLEST_RSA} bits or more, or with ECDSA.",
            )
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, _CURVES):
        return key
    raise Refused(
        "Browsers do not accept this kind of key.", hint="Use ECDSA P-256 or P-384, or RSA."
    )


def _check_time(leaf: x509.Certificate, at: datetime) -> None:
    if leaf.not_valid_after_utc <= at:
        raise Refused(
            f"The certificate ended on {leaf.not_valid_after_utc:%d %B %Y}.",
            hint="Request a new one.",
        )
    if leaf.not_valid_before_utc > at:
        raise Refused(
            f"The certificate is valid only from {leaf.not_valid_before_utc:%d %B %Y %H:%M} UTC.",
            hint="Upload it then; check this machine's clock if that seems wrong.",
        )


def _check_strength(certificates: Sequence[x509.Certificate]) -> None:
    for each in certificates:
        key = each.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < _SMALLEST_RSA:
            raise Refused(f"A certificate of the chain has an RSA key of {key.key_size} bits.")
        if isinstance(each.signature_hash_algorithm, _WEAK_HASHES) and each.issuer != each.subject:
            raise Refused(
                f"A certificate of the chain is signed with {each.signature_hash_algorithm.name}, "
                "which browsers refuse.",
                hint="Request a new certificate; today's are signed with SHA-256.",
            )
    first = certificates[0].signature_hash_algorithm
    if isinstance(first, _WEAK_HASHES):
        raise Refused(f"The certificate is signed with {first.name}, which is too weak.")


def _check_chain(certificates: Sequence[x509.Certificate]) -> None:
    for lower, upper in itertools.pairwise(certificates):
        try:
            lower.verify_directly_issued_by(upper)
        except (ValueError, TypeError, InvalidSignature) as exc:
            raise Refused(
                "The certificates of the chain do not follow each other.",
                hint="The site's own comes first, then the one that signed it, and so on.",
            ) from exc


def require_covered(names: Sequence[str], domain: str, *, subdomains: bool) -> None:
    """Raise `Refused` unless a certificate for these names suffices for the site."""
    told = ", ".join(names[:5])[:300] or "no name at all"
    if not covers(names, domain):
        raise Refused(
            f"The certificate is for {told}, not for {domain}.",
            hint=f"Request one whose subject alternative names include {domain}.",
        )
    if subdomains and not covers(names, f"*.{domain}"):
        raise Refused(
            f"The certificate is for {told}, not for *.{domain}: each person's workspaces have a "
            "name of their own below the domain.",
            hint=f"Request one for {domain} and *.{domain}. {ONE_ORIGIN}",
        )


def covers(names: Sequence[str], domain: str) -> bool:
    """Whether a certificate for these names is for `domain` too; a star stands for one label."""
    wanted = domain.lower().rstrip(".")
    _, _, above = wanted.partition(".")
    return any(name.lower() in (wanted, f"*.{above}" if above else wanted) for name in names)


def publicly_trusted(chain: str, domain: str, at: datetime) -> bool:
    """Whether browsers trust it without anybody's doing: its chain ends at a public root."""
    first, *others = x509.load_pem_x509_certificates(chain.encode())
    subject: x509.DNSName | x509.IPAddress
    try:
        subject = x509.IPAddress(ipaddress.ip_address(domain))
    except ValueError:
        subject = x509.DNSName(domain)
    builder = verification.PolicyBuilder().store(_public_roots()).time(at.astimezone(UTC))
    try:
        builder.build_server_verifier(subject).verify(first, others)
    except verification.VerificationError:
        return False
    return True


@cache
def _public_roots() -> verification.Store:
    roots = []
    for block in Path(certifi.where()).read_bytes().split(b"-----END CERTIFICATE-----"):
        start = block.find(b"-----BEGIN CERTIFICATE-----")
        if start < 0:
            continue
        with warnings.catch_warnings(), suppress(ValueError):
            # some old roots have serial numbers that cryptography is about to refuse
            warnings.simplefilter("ignore")
            whole = block[start:] + b"-----END CERTIFICATE-----\n"
            roots.append(x509.load_pem_x509_certificate(whole))
    return verification.Store(roots)
