"""Takes secrets and names out of text that leaves the house.

What we know is replaced wherever it stands: our keys and tokens, names, e-mail addresses. What only
looks like a secret goes too: it is better to lose a word of a log than to give a password away.
"""

import re
from collections.abc import Iterable

_GONE = "[removed]"
_SHORTEST = 6  # characters; a shorter "secret" would take ordinary words out

_LOOKS = (
    # PEM blocks, whole
    re.compile(r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)", re.S),
    # Authorization: Bearer ..., "token abc", also in JSON
    re.compile(r"(?i)\b((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)[^\r\n\"']+"),
    re.compile(r"(?i)\b((?:bearer|basic|token)\s+)[A-Za-z0-9._~+/=-]{8,}"),
    # Cookie and Set-Cookie to the end of the line
    re.compile(r"(?i)\b((?:set-)?cookie[\"']?\s*[:=]\s*)[^\r\n]+"),
    # key = value, key: value, "key": "value", ?key=value
    re.compile(
        r"(?i)((?:[a-z0-9_.-]*(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|private[_-]?key"
        r")[a-z0-9_-]*)[\"']?\s*[=:]\s*[\"']?)"
        r"(?!\[removed\])[^\s\"'&,;}\]]{4,}"
    ),
    # what comes in addresses, forms and cookies
    re.compile(r"(?i)\b((?:_xsrf|code|state|verifier|[a-z-]*session[a-z-]*)=)[^\s\"'&;]{4,}"),
    # user:password@ in addresses
    re.compile(r"(://[^/\s:@]+:)[^/\s@]+(?=@)"),
    # a JSON web token, whole
    re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+"),
    # what is long and random: hex, base64, tokens of ours
    re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{28,}={0,2}"),
)
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@(?!127\.|::1|localhost)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_ADDRESS = re.compile(r"(?<![\d.])(?!127\.|0\.0\.0\.0)(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")


class Redactor:
    """Made with what is known; `text` may then be called for any amount of text."""

    def __init__(self, secrets: Iterable[str], names: Iterable[str]) -> None:
        known = sorted({each for each in secrets if len(each) >= _SHORTEST}, key=len, reverse=True)
        self._known = known
        some = sorted(set(names), key=len, reverse=True)
        # one pattern of all names: there may be thousands
        shape = "|".join(re.escape(each) for each in some)
        self._names = (
            re.compile(rf"(?<![A-Za-z0-9_.-])(?:{shape})(?![A-Za-z0-9_-])") if some else None
        )

    def text(self, text: str) -> str:
        """The text without secrets, names, e-mail addresses and foreign network addresses."""
        for secret in self._known:
            text = text.replace(secret, _GONE)
        for shape in _LOOKS:
            text = shape.sub(lambda found: f"{found[1] if found.re.groups else ''}{_GONE}", text)
        text = _EMAIL.sub("[e-mail]", text)
        text = _ADDRESS.sub("[address]", text)
        return self._names.sub("[name]", text) if self._names else text
