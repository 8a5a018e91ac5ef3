"""Every kind of secret that we say we look for is found, and what manuals show is not."""

import pytest

from petrihub_sidecars.checkpointer.findings import _TEXTS, SECRET_FILE, Detector

TEXTS = {
    "private-key": "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEowIBAAKCAQEA" * 5,
    "aws-key": "AKIA" + "Q3EGRZ5ZT6BEQXYZ",
    "github-token": "ghp_" + "aB3" * 12,
    "gitlab-token": "glpat-" + "aB3_" * 5,
    "hugging-face-token": "hf_" + "aBcDe" * 6 + "fGhI",
    "slack-token": "xoxb-123456789-" + "aB3-" * 5,
    "google-key": "AIza" + "aB3_-" * 7,
    "pypi-token": "pypi-AgEIcHlwaS5vcmc" + "aB3_-" * 10,
    "npm-token": "npm_" + "aB3" * 12,
}
NAMES = [
    "opt/app/.env",
    "opt/app/.env.production",
    "opt/.netrc",
    "opt/.pgpass",
    "opt/.pypirc",
    "opt/.aws/credentials",
    "opt/.docker/config.json",
    "opt/keys/id_ed25519",
    "opt/.bash_history",
    "opt/.Rhistory",
]
HARMLESS = ["opt/app/.env.example", "opt/id_ed25519.pub", "opt/environment.yml", "opt/history.csv"]


@pytest.mark.parametrize("pattern", _TEXTS)
def test_each_kind_of_secret_is_found_in_a_text(pattern: str) -> None:
    text = f"# settings\nvalue = {TEXTS[pattern]}\n".encode()
    assert Detector().in_text(text) == pattern
    assert Detector().in_text(b"\0" + text) == ""  # no text


def test_names_of_files_with_secrets_are_known() -> None:
    named = Detector().named
    assert {named(each.encode()) for each in NAMES} == {SECRET_FILE}
    assert {named(each.encode()) for each in HARMLESS} == {""}
