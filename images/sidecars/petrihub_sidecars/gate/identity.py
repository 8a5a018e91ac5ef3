"""The signed header that tells the tool who somebody is, and the key with which it may verify."""

import time
from collections.abc import Callable

from joserfc import jwt
from joserfc.jwk import ECKey
from tornado.web import RequestHandler

from petrihub_sidecars.gate.settings import GateSettings

LIFETIME = 120  # seconds for which a signed identity counts
_RENEWED = 30  # seconds for which one is used again
KEYS_PATH = "/.well-known/jwks.json"


class Signer:
    """Signs with a key of its own, which lives and ends with the gate."""

    def __init__(self, settings: GateSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._key = ECKey.generate_key("P-256", parameters={"use": "sig", "alg": "ES256"})
        self._kid = self._key.thumbprint()
        self._signed: dict[str, tuple[float, str]] = {}

    def header_for(self, name: str) -> str:
        """A compact JWS that says who comes, to this workspace, for two minutes."""
        now = self._clock()
        kept = self._signed.get(name)
        if kept is not None and now - kept[0] < _RENEWED:
            return kept[1]
        claims = {
            "iss": self._settings.issuer,
            "aud": self._settings.audience,
            "sub": name,
            "iat": int(now),
            "exp": int(now) + LIFETIME,
        }
        signed = jwt.encode({"alg": "ES256", "kid": self._kid}, claims, self._key)
        self._signed = {n: each for n, each in self._signed.items() if now - each[0] < _RENEWED}
        self._signed[name] = (now, signed)
        return signed

    def keys(self) -> dict[str, object]:
        """The public half, as a JSON Web Key Set."""
        public = self._key.as_dict(private=False) | {"kid": self._kid}
        return {"keys": [public]}


class KeysHandler(RequestHandler):
    """Serves the key set on loopback, for the tool."""

    def initialize(self, signer: Signer) -> None:
        """Tornado's constructor."""
        self._signer = signer

    def get(self) -> None:
        """The keys."""
        self.set_header("Cache-Control", f"max-age={LIFETIME}")
        self.write(self._signer.keys())
