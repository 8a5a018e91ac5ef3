"""Signatures of exported checkpoints: a JWS (Ed25519) over what the archive says it is.

Each deployment has a key of its own. It is named by its public half, which is what others trust.
"""

import json
import os
import re
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit
from petrihub_core.checkpoint_import_records import TrustedSigner
from petrihub_core.deployment import Deployment
from petrihub_core.errors import NotAllowed, NotFound, Refused

_ALGORITHM = "Ed25519"
_PUBLIC = re.compile(r"[0-9a-f]{64}")  # never with a dash in front: it is a command's argument
_FILE = "checkpoint_signing.json"


def _key(deployment: Deployment) -> OKPKey:
    """The deployment's own key, made on first use."""
    path = deployment.secrets / _FILE
    if not path.exists():
        deployment.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = OKPKey.generate_key("Ed25519").as_dict(private=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(made, file)
        try:
            os.link(fresh, path)  # of two that make one at once, the first counts
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return OKPKey.import_key(json.loads(path.read_text()))


def own_signer(deployment: Deployment) -> str:
    """The public half of the deployment's key in hexadecimal, by which others name it."""
    return _key(deployment).public_key.public_bytes_raw().hex()


def _named(signer: str) -> OKPKey:
    return OKPKey.import_key(Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer)))


def signed(deployment: Deployment, payload: dict[str, Any]) -> str:
    """The payload under the deployment's signature, as one line of text."""
    key = _key(deployment)
    header = {"alg": _ALGORITHM, "kid": own_signer(deployment)}
    content = json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()
    return jws.serialize_compact(header, content, key, algorithms=[_ALGORITHM])


def signer_of(text: str) -> str:
    """Who says to have signed this; nothing is verified. Raises `Refused`."""
    try:
        said = jws.extract_compact(text.encode()).headers().get("kid")
    except (JoseError, ValueError, UnicodeError) as exc:
        raise Refused("The archive's signature cannot be read.") from exc
    if not isinstance(said, str) or not _PUBLIC.fullmatch(said):
        raise Refused("The archive's signature does not name its key.")
    return said


def verified(text: str, signer: str) -> dict[str, Any]:
    """What this signer has signed; raises `Refused` if they have not."""
    try:
        content = jws.deserialize_compact(text, _named(signer), algorithms=[_ALGORITHM]).payload
        payload = json.loads(content)
    except (JoseError, ValueError) as exc:
        raise Refused(
            "The archive's signature is wrong: it was changed after it was made."
        ) from exc
    if not isinstance(payload, dict):
        raise Refused("The archive's signature cannot be read.")
    return payload


async def require_trusted(session: AsyncSession, deployment: Deployment, signer: str) -> None:
    """Raises `NotAllowed` for a signer whom no administrator has trusted."""
    if signer != own_signer(deployment) and await session.get(TrustedSigner, signer) is None:
        raise NotAllowed(
            f"This archive is signed by {signer}, whom this PetriHub does not trust.",
            hint="If you know whose PetriHub that is, ask an administrator to run "
            f"`petrihub checkpoints trust {signer}`.",
        )


async def trust(session: AsyncSession, by: str, signer: str, title: str) -> None:
    """Take archives of this signer from now on; raises `Refused` for what is no key."""
    if not _PUBLIC.fullmatch(signer):
        raise Refused(
            "This is not the key of a PetriHub.",
            hint="It has 64 letters and digits; `petrihub checkpoints key` prints it over there.",
        )
    await session.merge(TrustedSigner(key=signer, title=title[:160], by=by))
    await _note(session, by, signer, "trusted")


async def distrust(session: AsyncSession, by: str, signer: str) -> None:
    """Take no archives of this signer any more; what was imported stays. Raises `NotFound`."""
    row = await session.get(TrustedSigner, signer)
    if row is None:
        raise NotFound(
            "This key is not trusted.", hint="Look at the list: petrihub checkpoints key"
        )
    await session.delete(row)
    await _note(session, by, signer, "distrusted")


async def _note(session: AsyncSession, by: str, signer: str, what: str) -> None:
    await audit.record(session, actor=by, action=f"checkpoint.signer.{what}", target=signer)
