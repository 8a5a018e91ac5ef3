"""PKCE of the hub's own OAuth: without a challenge, with a plain one, or with a wrong verifier."""

import base64
import hashlib
import secrets
from urllib.parse import parse_qs, urlsplit

import pytest

BACK = "/services/probe/oauth_callback"
SECRET = "probe-token-of-the-tests"


@pytest.fixture
def page(visitor, researcher: str):
    assert visitor.sign_in(researcher).status_code == 303
    return visitor


def pair() -> tuple[str, str]:
    """A verifier and its S256 challenge."""
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).decode().rstrip("=")


def authorize(page, **more: str) -> dict[str, list[str]]:
    """What comes back to the client in the redirect."""
    answer = page.get(
        "api/oauth2/authorize",
        params={
            "client_id": "service-probe",
            "response_type": "code",
            "redirect_uri": BACK,
            "state": "s",
            **more,
        },
    )
    assert answer.status_code == 302, answer.text
    target = urlsplit(answer.headers["location"])
    assert target.path == BACK
    return parse_qs(target.query)


def redeem(page, code: str, **more: str):
    return page.client.post(
        "/hub/api/oauth2/token",
        data={
            "grant_type": "authorization_code",
            "client_id": "service-probe",
            "client_secret": SECRET,
            "redirect_uri": BACK,
            "code": code,
            **more,
        },
    )


def test_with_a_hashed_challenge_and_its_verifier_it_works_once(page) -> None:
    verifier, challenge = pair()
    (code,) = authorize(page, code_challenge=challenge, code_challenge_method="S256")["code"]
    answer = redeem(page, code, code_verifier=verifier)
    assert answer.status_code == 200
    assert answer.json()["access_token"]
    assert redeem(page, code, code_verifier=verifier).status_code == 400


def test_without_a_challenge_there_is_no_code(page) -> None:
    back = authorize(page)
    assert "code" not in back
    assert back["error"] == ["invalid_request"]


@pytest.mark.parametrize("method", [{"code_challenge_method": "plain"}, {}])
def test_with_a_plain_challenge_there_is_no_code(page, method: dict[str, str]) -> None:
    back = authorize(page, code_challenge=pair()[0], **method)
    assert "code" not in back
    assert back["error"] == ["invalid_request"]


@pytest.mark.parametrize("wrong", ["other", "challenge", "missing", "empty"])
def test_with_a_wrong_verifier_there_is_no_token(page, wrong: str) -> None:
    _, challenge = pair()
    (code,) = authorize(page, code_challenge=challenge, code_challenge_method="S256")["code"]
    verifier = {"other": pair()[0], "challenge": challenge, "empty": ""}.get(wrong)
    answer = redeem(page, code, **({} if verifier is None else {"code_verifier": verifier}))
    assert answer.status_code == 400
    assert "access_token" not in answer.text


@pytest.mark.parametrize(
    "target",
    [
        f"{BACK}/",
        f"{BACK}.evil",
        f"{BACK}#x",
        "/services/probe/%6fauth_callback",
        f"https://evil.example{BACK}",
        "/services/other/oauth_callback",
    ],
)
def test_another_address_to_return_to_is_refused_without_a_redirect(page, target: str) -> None:
    _, challenge = pair()
    answer = page.get(
        "api/oauth2/authorize",
        params={
            "client_id": "service-probe",
            "response_type": "code",
            "redirect_uri": target,
            "state": "s",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        },
    )
    assert answer.status_code == 400
    assert "location" not in answer.headers
