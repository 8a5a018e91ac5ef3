"""Known patterns of secrets in files that are about to be saved: names of files, and their text.

A short list of our own: the libraries that know hundreds of patterns read line by line and would
take minutes. It finds what people leave lying about, not what somebody hides.
"""

import re
from collections.abc import Iterable

import re2  # type: ignore[import-untyped]

SECRET_FILE, WORKSPACE_TOKEN = "secret-file", "workspace-token"
HEAD = 2**20  # bytes of a file that are looked at
_BINARY_SIGN = 1024  # a zero byte in the first ones: no text
_SHORTEST_VALUE = 16  # characters of an injected value that are worth looking for

_BYTES = re2.Options()
_BYTES.encoding = re2.Options.Encoding.LATIN1  # texts of any encoding

_NAMES = re.compile(
    rb"(?:.*/)?(?:"
    rb"\.env(?:\.(?!example$|sample$|template$|dist$)[^/]*)?"
    rb"|[._]netrc|\.pgpass|\.pypirc|\.git-credentials|\.dockercfg|\.vault-token|\.htpasswd|\.my\.cnf"
    rb"|\.docker/config\.json|\.aws/credentials|\.kube/config|application_default_credentials\.json"
    rb"|id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?"
    rb"|\.(?:bash|zsh|python|psql|mysql)_history|\.Rhistory"
    rb")"
)
_TEXTS = {
    "private-key": (
        rb"-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----[\r\n]+"
        rb"[A-Za-z0-9+/=:,. \r\n-]{60}"
    ),
    "aws-key": rb"A[KS]IA[0-9A-Z]{16}(?:[^0-9A-Za-z]|\z)",
    "github-token": rb"gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60}",
    "gitlab-token": rb"glpat-[A-Za-z0-9_-]{20}",
    "hugging-face-token": rb"hf_[A-Za-z]{34}(?:[^A-Za-z]|\z)",
    "slack-token": rb"xox[abeprs]-[0-9]{6,}-[A-Za-z0-9-]{20}",
    "google-key": rb"AIza[A-Za-z0-9_-]{35}(?:[^A-Za-z0-9_-]|\z)",
    "pypi-token": rb"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50}",
    "npm-token": rb"npm_[A-Za-z0-9]{36}(?:[^A-Za-z0-9]|\z)",
}
_NOT_ONE = b"EXAMPLE"  # how manuals mark keys that are none


class Detector:
    """Knows the common patterns, and the values that were given to this one workspace."""

    def __init__(self, injected: Iterable[str] = ()) -> None:
        texts = dict(_TEXTS)
        values = [re2.escape(v).encode() for v in injected if len(v) >= _SHORTEST_VALUE]
        if values:
            texts[WORKSPACE_TOKEN] = b"|".join(values)
        # RE2 reads a text once for all of them: 600 MB/s where `re` reads 70
        self._any = re2.compile(b"|".join(texts.values()), _BYTES)
        self._each = {name: re2.compile(text, _BYTES) for name, text in texts.items()}

    def named(self, path: bytes) -> str:
        """The pattern that this name fits; empty: none."""
        return SECRET_FILE if _NAMES.fullmatch(path) else ""

    def in_text(self, head: bytes) -> str:
        """The pattern of the first secret in the beginning of a file; empty: none, or no text."""
        if b"\0" in head[:_BINARY_SIGN]:
            return ""
        at = 0
        while (found := self._any.search(head, at)) and _NOT_ONE in found[0]:
            at = found.end()
        if found is None:
            return ""
        return next(name for name, text in self._each.items() if text.match(head, found.start()))


def injected_values(environ: bytes) -> list[str]:
    """The values in a process's environment whose names say that they are secrets."""
    found = []
    for line in environ.split(b"\0"):
        name, _, value = line.partition(b"=")
        if re.search(rb"TOKEN|SECRET|PASSWORD|CREDENTIAL|_KEY$", name):
            found.append(value.decode(errors="replace"))
    return found
