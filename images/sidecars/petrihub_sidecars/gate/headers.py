"""Which headers pass the gate, in either direction. What is not ours to believe does not pass.

Names are compared as a tool might read them: in lower case, and with `_` for `-`, since CGI and
WSGI know no difference.
"""

from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from tornado.httputil import HTTPHeaders

IDENTITY_HEADER = "X-PetriHub-Identity"
Pairs = list[tuple[str, str]]

_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
# who somebody is, or where they come from: only the gate says so
_CLAIMS = {
    "authorization",
    "client-ip",
    "forwarded",
    "front-end-https",
    "remote-addr",
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-email",
    "x-groups",
    "x-http-method-override",
    "x-original-host",
    "x-original-url",
    "x-proxycontextpath",
    "x-real-ip",
    "x-rewrite-url",
    "x-roles",
    "x-scheme",
    "x-script-name",
    "x-user",
    "x-userid",
    "x-username",
}
_CLAIM_PREFIXES = (
    "cf-",
    "remote-",
    "ssl-client-",
    "x-amzn-oidc-",
    "x-auth-",
    "x-authenticated-",
    "x-authentik-",
    "x-client-cert",
    "x-forwarded-",
    "x-goog-",
    "x-jupyterhub-",
    "x-ms-client-",
    "x-petrihub-",
    "x-pomerium-",
    "x-remote-",
    "x-shiny-server-credentials",
    "x-ssl-",
    "x-webauth-",
)
_OUR_COOKIES = ("jupyterhub", "__host-", "__secure-", "petrihub")


def plain(name: str) -> str:
    """A header's name as the rules here write it."""
    return name.strip().lower().replace("_", "-")


def nominated(headers: HTTPHeaders) -> set[str]:
    """The headers that `Connection` declares to be between two neighbours only."""
    named = ",".join(headers.get_list("Connection")).split(",")
    return {plain(name) for name in named if name.strip()}


def kept_from_client(headers: HTTPHeaders) -> Pairs:
    """What a tool gets of a request's headers; cookies of the hub and of gates stay behind."""
    between = _HOP_BY_HOP | nominated(headers)
    kept: Pairs = []
    for name, value in headers.get_all():
        known = plain(name)
        if known in between or known in _CLAIMS or known.startswith(_CLAIM_PREFIXES):
            continue
        if known in {"content-length", "expect"}:
            continue  # the gate frames the body itself
        if known == "cookie":
            value = _foreign_cookies(value)  # noqa: PLW2901
            if not value:
                continue
        kept.append((name, value))
    return kept


def _foreign_cookies(value: str) -> str:
    pairs = (pair.strip() for pair in value.split(";"))
    return "; ".join(pair for pair in pairs if pair and not _ours(pair.partition("=")[0]))


def _ours(cookie: str) -> bool:
    return cookie.strip().strip('"').lower().startswith(_OUR_COOKIES)


def kept_from_tool(
    headers: Iterable[tuple[str, str]], *, prefix: str, own: Collection[str]
) -> Pairs:
    """What a browser gets of a response's headers.

    `prefix` is where the tool lives, without a slash at the end; empty if it writes whole
    addresses itself. `own` are the hosts and ports by which it means itself.
    """
    found = list(headers)
    between = _HOP_BY_HOP - {"transfer-encoding", "upgrade"}
    for name, value in found:
        if plain(name) == "connection":
            between |= {plain(each) for each in value.split(",")} - {"transfer-encoding", "upgrade"}
    kept: Pairs = []
    for name, value in found:
        known = plain(name)
        if known in between:
            continue
        if known == "set-cookie":
            cookie = _confined(value, prefix)
            if cookie:
                kept.append((name, cookie))
        elif known in {"location", "content-location"}:
            kept.append((name, _outside(value, prefix, own)))
        else:
            kept.append((name, value))
    return kept


def _confined(cookie: str, prefix: str) -> str:
    """A cookie of the tool, below its own address; empty if it takes a name that is ours."""
    first, *attributes = [part.strip() for part in cookie.split(";")]
    if _ours(first.partition("=")[0]):
        return ""
    path, kept = "/", []
    for attribute in attributes:
        name, _, value = attribute.partition("=")
        match name.strip().lower():
            case "path":
                path = value.strip() or "/"
            case "domain":
                pass
            case _:
                kept.append(attribute)
    if not path.startswith("/"):
        path = "/"
    return "; ".join([first, *kept, f"Path={prefix}{path}"])


def _outside(location: str, prefix: str, own: Collection[str]) -> str:
    parts = urlsplit(location)
    if parts.netloc:
        if parts.netloc.lower() not in own:
            return location
        location = parts._replace(scheme="", netloc="").geturl() or "/"
    if not location.startswith("/") or not prefix:
        return location
    # a tool that heeds X-Forwarded-Prefix has done it already
    done = location == prefix or location.startswith(f"{prefix}/")
    return location if done else prefix + location
