"""From which network address a request comes, as far as we can believe it."""

from ipaddress import ip_address

from tornado.web import RequestHandler

_UNKNOWN = "unknown"


def client_address(handler: RequestHandler, trusted: frozenset[str] = frozenset()) -> str:
    """The address that our own proxy saw; `trusted` names further proxies in front of it.

    tornado's `remote_ip` believes an `X-Real-Ip` header, which any browser can send through
    configurable-http-proxy, so that guessing would never be slowed down per address.
    """
    forwarded = handler.request.headers.get("X-Forwarded-For", "")
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
    context = getattr(handler.request.connection, "context", None)
    peer = getattr(context, "_orig_remote_ip", None) or _UNKNOWN
    # the newest hop is written by the proxy beside us; older ones by whoever came before
    for hop in (*reversed(hops), peer):
        if hop not in trusted:
            return _valid(hop)
    return _valid(peer)


def _valid(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return _UNKNOWN
