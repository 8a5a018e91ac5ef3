"""One order at an ACME server (RFC 8555), in two blocking halves: `begin`, then `finish`.

Between them somebody must make the answers to the HTTP-01 challenges reachable. All errors are
told in words with what the server said.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any

import josepy
import requests
from acme import challenges, client, crypto_util, errors, messages
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from petrihub_core.errors import Refused, Unavailable

_SECONDS_PER_CALL = 20
_SECONDS_TO_FINISH = 120
_TRIES = 10  # of a request whose nonce was refused, though it is good; each is two of the library's


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is ordered, where. `ca_bundle` is PEM, for a server that the system does not trust."""

    directory: str
    email: str
    domain: str
    account_key: str
    key: str
    ca_bundle: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What must be served as text at /.well-known/acme-challenge/<token>."""

    token: str
    text: str


@dataclass(frozen=True)
class Begun:
    """An order that waits for its challenges to be looked at."""

    wish: Wish
    order: messages.OrderResource
    challenges: tuple[messages.ChallengeBody, ...]
    account: messages.RegistrationResource
    answers: tuple[Answer, ...]


class AcmeFailed(Unavailable):
    """The ACME server did not give a certificate; the message holds its words."""


def begin(wish: Wish) -> Begun:
    """Register if need be and place the order. Blocks. Raises `AcmeFailed`."""
    with _words(wish), _connected(wish) as net:
        acme = client.ClientV2(client.ClientV2.get_directory(wish.directory, net), net=net)
        account = _register(acme, wish)
        csr = crypto_util.make_csr(wish.key.encode(), [wish.domain])
        order = acme.new_order(csr)
        found = tuple(_http_challenge(each) for each in order.authorizations if _is_open(each))
        answers = []
        for each in found:
            _, text = each.response_and_validation(net.key)
            answers.append(Answer(token=each.chall.encode("token"), text=text))
        return Begun(wish, order, found, account, tuple(answers))


def finish(begun: Begun) -> str:
    """Ask the server to look, and fetch the chain as PEM. Blocks. Raises `AcmeFailed`."""
    wish = begun.wish
    with _words(wish), _connected(wish) as net:
        net.account = begun.account
        acme = client.ClientV2(client.ClientV2.get_directory(wish.directory, net), net=net)
        for each in begun.challenges:
            acme.answer_challenge(each, each.chall.response(net.key))
        deadline = datetime.now() + timedelta(seconds=_SECONDS_TO_FINISH)  # the library's is naive
        chain: str = acme.poll_and_finalize(begun.order, deadline).fullchain_pem
        return chain


class _Network(client.ClientNetwork):
    """Asks again with another nonce (RFC 8555, section 6.5); the library gives up after two."""

    def post(self, *args: Any, **options: Any) -> requests.Response:
        for _ in range(_TRIES - 1):
            try:
                return super().post(*args, **options)
            except messages.Error as exc:
                if exc.code != "badNonce":
                    raise
        return super().post(*args, **options)


@contextmanager
def _connected(wish: Wish) -> Iterator[client.ClientNetwork]:
    loaded = serialization.load_pem_private_key(wish.account_key.encode(), password=None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise TypeError("the account key is ECDSA, as `new_key` makes it")
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as bundle:
        bundle.write(wish.ca_bundle)
        bundle.flush()
        net = _Network(
            josepy.jwk.JWKEC(key=loaded),
            alg=josepy.jwa.ES256,
            user_agent=f"PetriHub/{version('petrihub')}",
            timeout=_SECONDS_PER_CALL,
        )
        if wish.ca_bundle:
            net.verify_ssl = bundle.name  # type: ignore[assignment] # handed on to requests as is
        yield net


def _register(acme: client.ClientV2, wish: Wish) -> messages.RegistrationResource:
    ours = messages.NewRegistration.from_data(
        email=wish.email or None, terms_of_service_agreed=True
    )
    try:
        return acme.new_account(ours)
    except errors.ConflictError as exc:  # this key has an account already
        found = messages.RegistrationResource(body=messages.Registration(), uri=exc.location)
        acme.net.account = found
        return found


def _is_open(authorization: messages.AuthorizationResource) -> bool:
    return bool(authorization.body.status != messages.STATUS_VALID)


def _http_challenge(authorization: messages.AuthorizationResource) -> messages.ChallengeBody:
    for each in authorization.body.challenges:
        if isinstance(each.chall, challenges.HTTP01):
            return each
    raise Refused(
        "The ACME server does not offer the HTTP-01 challenge for this domain.",
        hint="Use a server that does, or upload a certificate.",
    )


@contextmanager
def _words(wish: Wish) -> Iterator[None]:
    """Every error of the library as `AcmeFailed` with what the server said."""
    try:
        yield
    except errors.ValidationError as exc:
        said = [
            str(each.error.detail or each.error)
            for authorization in exc.failed_authzrs
            for each in authorization.body.challenges
            if each.error is not None
        ]
        raise AcmeFailed(
            f"The ACME server could not check that {wish.domain} is ours: {'; '.join(said)[:500]}",
            hint=f"From where it stands, http://{wish.domain} must lead to this front on port 80.",
        ) from exc
    except messages.Error as exc:
        raise AcmeFailed(
            f"The ACME server refused: {str(exc.detail or exc)[:500]}",
            hint="Correct what it names, then order again.",
        ) from exc
    except errors.IssuanceError as exc:
        raise AcmeFailed(f"The ACME server refused: {str(exc.error.detail)[:500]}") from exc
    except errors.TimeoutError as exc:
        raise AcmeFailed(
            "The ACME server did not finish in time.", hint="Order again in some minutes."
        ) from exc
    except requests.exceptions.SSLError as exc:
        raise AcmeFailed(
            "The ACME server's own certificate is not trusted.",
            hint="For a private server, enter the certificates of its authority as CA bundle.",
        ) from exc
    except (requests.exceptions.RequestException, errors.Error, OSError) as exc:
        raise AcmeFailed(
            f"The ACME server at {wish.directory} does not answer as one.",
            hint="Check the directory address, and whether this machine may reach it.",
        ) from exc
    except (josepy.errors.Error, ValueError, KeyError, TypeError) as exc:
        raise AcmeFailed(
            f"What answers at {wish.directory} is no ACME server.",
            hint="Check the directory address.",
        ) from exc
