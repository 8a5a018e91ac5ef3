"""The image server: where it is, how its repositories are called, and tokens for them.

The registry trusts one key. Whoever may read the secrets folder may sign; pods never can.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import ECKey

from petrihub_core.deployment import Deployment
from petrihub_core.errors import Unavailable
from petrihub_core.records import new_id

SERVICE = "petrihub-images"
TOKEN_SECONDS = 300
_ALGORITHM = "ES256"
_VALID_DAYS = 3650
_RENEW_DAYS = 366  # a server that runs for a year without a restart still has a valid one
_SKEW_SECONDS = 30  # by which clocks in one deployment may differ
_REFERENCE = re.compile(r"127\.0\.0\.1:[0-9]+/(checkpoints/[a-z0-9./-]+)@sha256:[0-9a-f]{64}")
_UNUSABLE = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, kw_only=True)
class ImageServer:
    """Addresses as the three who use it reach it: host:port for `engine`, else without a slash."""

    engine: str
    pods: str
    registry: str  # behind the front, for us alone
    service: str  # likewise

    @property
    def loopback(self) -> str:
        """The front as this machine's programs reach it."""
        return f"http://{self.engine}"


def _place(deployment: Deployment) -> Path:
    return deployment.state / "image-server.json"


def write_image_server(deployment: Deployment, server: ImageServer) -> None:
    """Say where the image server is; every other process finds it here."""
    path = _place(deployment)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(asdict(server)))
    fresh.rename(path)


def forget_image_server(deployment: Deployment) -> None:
    """Say that there is none now."""
    _place(deployment).unlink(missing_ok=True)


def find_image_server(deployment: Deployment) -> ImageServer | None:
    """Where the image server is; None where this deployment has none."""
    if deployment.backend != "docker":
        return None
    try:
        return ImageServer(**json.loads(_place(deployment).read_text()))
    except FileNotFoundError:
        return None


def require_image_server(deployment: Deployment) -> ImageServer:
    """Where the image server is; raises `Unavailable` in words where there is none."""
    found = find_image_server(deployment)
    if found is None:
        raise Unavailable(
            "This PetriHub has no image server, so checkpoints cannot be saved or continued.",
            hint="Ask the administrator to run `petrihub up --backend docker`.",
        )
    return found


# --- repositories ---------------------------------------------------------------------------


def base_repository(image: str) -> str:
    """Where an image of ours is kept."""
    return f"base/{image}"


def base_tag(digest: str) -> str:
    """The one tag under which the engine pushes the image with this name; it never moves."""
    return digest.replace(":", "-")


def checkpoint_repository(owner: str, workspace: str) -> str:
    """Where the checkpoints of one workspace are kept.

    Names of workspaces may have two hyphens in a row or one at the end, repositories must not:
    then a hash keeps two of them apart.
    """
    plain = _UNUSABLE.sub("-", workspace).strip("-")
    if plain != workspace:
        plain = f"{plain}.{hashlib.sha256(workspace.encode()).hexdigest()[:12]}"
    return f"checkpoints/{owner}/{plain}"


def checkpoint_reference(server: ImageServer, owner: str, workspace: str, digest: str) -> str:
    """The image of a checkpoint, as the engine of this machine pulls and runs it."""
    return f"{server.engine}/{checkpoint_repository(owner, workspace)}@{digest}"


def repository_in(reference: str) -> str | None:
    """The repository that such a reference names; None for an image that is not pulled."""
    found = _REFERENCE.fullmatch(reference)
    return found[1] if found else None


# --- tokens ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Access:
    """What a token allows in one repository; `actions` are pull, push or delete."""

    repository: str
    actions: tuple[str, ...]


PUSH = ("pull", "push")  # a push looks first whether a blob is there already
PULL = ("pull",)


def registry_config_file(deployment: Deployment) -> Path:
    """The registry's configuration; its storage lies beside it."""
    return deployment.state / "images" / "registry" / "config.json"


def certificate_file(deployment: Deployment) -> Path:
    """The certificate of the key that signs tokens; the registry trusts what it signed."""
    return deployment.secrets / "registry_certificate.pem"


def _key_file(deployment: Deployment) -> Path:
    return deployment.secrets / "registry_key.pem"


def ensure_registry_key(deployment: Deployment) -> None:
    """Make key and certificate on first use, and anew when the certificate comes to its end."""
    path = certificate_file(deployment)
    if path.exists():
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
        if ends - datetime.now(UTC) > timedelta(days=_RENEW_DAYS):
            return
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "PetriHub image server")])
    begin = datetime.now(UTC) - timedelta(minutes=5)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=_VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    deployment.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(
        _key_file(deployment),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    _write(path, certificate.public_bytes(serialization.Encoding.PEM))


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    fresh.rename(path)


@dataclass(frozen=True)
class Token:
    """A token of the registry's own protocol; `seconds` is how long it holds."""

    text: str
    seconds: int
    issued_at: datetime


def sign(
    deployment: Deployment,
    access: Iterable[Access],
    *,
    subject: str,
    seconds: int = TOKEN_SECONDS,
) -> Token:
    """A token for exactly this access."""
    key = ECKey.import_key(_key_file(deployment).read_bytes())
    pem = certificate_file(deployment).read_text()
    chain = "".join(line for line in pem.splitlines() if not line.startswith("-----"))
    began = int(time.time())
    claims = {
        "iss": SERVICE,
        "sub": subject,
        "aud": SERVICE,
        "iat": began,
        "nbf": began - _SKEW_SECONDS,
        "exp": began + seconds,
        "jti": new_id(),
        "access": [
            {"type": "repository", "name": each.repository, "actions": list(each.actions)}
            for each in access
        ],
    }
    header = {"alg": _ALGORITHM, "typ": "JWT", "x5c": [chain]}
    text = jwt.encode(header, claims, key, algorithms=[_ALGORITHM])
    return Token(text, seconds, datetime.fromtimestamp(began, UTC))
