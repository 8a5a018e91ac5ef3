"""The front: Caddy's configuration, made from a few facts by one pure function.

The certificate is no part of it. Caddy asks at each handshake for what is in force, through its
`get_certificate` by HTTP, from a listener of its own on loopback that serves one file: replacing
that file replaces the certificate. A new configuration would close every kernel's websocket
(Caddy 2.6 ends hijacked connections when it reloads), so it is never reloaded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from petrihub_core.web import PORTAL_PREFIX

Json = dict[str, Any]

_CHALLENGES = "/.well-known/acme-challenge/"
_PORTAL_BODY = 64 * 1024 * 1024  # bytes; the portal's own limits are per route and far smaller
_HEADER_BYTES = 64 * 1024
# seconds in Caddy's words; a whole request may take an hour, since people upload large files
_PATIENCE: Json = {"read_header_timeout": "10s", "read_timeout": "1h", "idle_timeout": "2m"}
_UNKNOWN = "This address is not one of this PetriHub.\n"


@dataclass(frozen=True, kw_only=True)
class Front:
    """What the front must know. Upstreams are host:port, as the front itself reaches them."""

    domain: str
    hub: str  # the routing proxy
    portals: tuple[str, ...]
    https_port: int = 443
    http_port: int = 80
    listen: str = ""  # an address of this machine; empty: all
    origins: bool = False  # whether names below the domain are people's own origins
    certificate: Path  # PEM: the key, then the chain; kept by the portal
    certificate_port: int  # loopback, for Caddy itself
    certificate_word: str  # unguessable: whoever is on this loopback and knows it gets the key
    storage: Path  # for what Caddy keeps of its own


def caddy_config(front: Front) -> Json:
    """The configuration for `caddy run`, as JSON; holds `certificate_word`, so keep it private."""
    url = f"http://127.0.0.1:{front.certificate_port}/{front.certificate_word}"
    return {
        "admin": {"disabled": True, "config": {"persist": False}},
        "storage": {"module": "file_system", "root": str(front.storage)},
        "logging": {
            # a failed handshake is anybody's scan, and its error would quote the address above
            "logs": {"default": {"level": "WARN", "exclude": ["tls.handshake", "http.stdlib"]}}
        },
        "apps": {
            "tls": {
                "automation": {"policies": [{"get_certificate": [{"via": "http", "url": url}]}]}
            },
            "http": {
                # ours are the names below: Caddy shall neither order certificates nor redirect
                "http_port": front.http_port,
                "https_port": front.https_port,
                "grace_period": "2s",
                "servers": {
                    "https": _server(
                        f"{front.listen}:{front.https_port}",
                        [*_known(front, _pages(front), [_workspaces(front)]), _refuse()],
                        tls_connection_policies=[{}],
                    ),
                    "http": _server(
                        f"{front.listen}:{front.http_port}",
                        [*_known(front, _plain(front), [_to_https(front)]), _refuse()],
                    ),
                    "certificate": _server(
                        f"127.0.0.1:{front.certificate_port}", _certificate(front)
                    ),
                },
            },
        },
    }


def _server(listen: str, routes: list[Json], **more: Any) -> Json:
    return {
        "listen": [listen],
        "protocols": ["h1", "h2"],
        "max_header_bytes": _HEADER_BYTES,
        "automatic_https": {"disable": True},
        "routes": routes,
        **_PATIENCE,
        **more,
    }


def _known(front: Front, site: list[Json], persons: list[Json]) -> list[Json]:
    """What is answered at the domain, and what at people's own origins below it."""
    names = [(front.domain, site)]
    if front.origins:
        names.append((f"*.{front.domain}", persons))
    return [
        {
            "match": [{"host": [name]}],
            "handle": [{"handler": "subroute", "routes": routes}],
            "terminal": True,
        }
        for name, routes in names
    ]


def _refuse() -> Json:
    """What an unknown Host gets: a page that re-resolves its name to us learns nothing."""
    return {"handle": [{"handler": "static_response", "status_code": 400, "body": _UNKNOWN}]}


def _pages(front: Front) -> list[Json]:
    return [
        {
            "match": [{"path": [f"{PORTAL_PREFIX}*"]}],
            "handle": [
                {"handler": "request_body", "max_size": _PORTAL_BODY},
                _portals(front),
            ],
            "terminal": True,
        },
        _workspaces(front),
    ]


def _workspaces(front: Front) -> Json:
    """The routing proxy; it knows what belongs at which name."""
    return {
        "handle": [
            {
                "handler": "reverse_proxy",
                "upstreams": [{"dial": front.hub}],
                # while the hub restarts, requests wait a moment instead of failing
                "load_balancing": {"try_duration": "10s", "try_interval": "250ms"},
            }
        ]
    }


def _portals(front: Front) -> Json:
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": each} for each in front.portals],
        "load_balancing": {
            "selection_policy": {"policy": "round_robin"},
            "try_duration": "10s",
            "try_interval": "250ms",
        },
        "health_checks": {
            "active": {
                "uri": f"{PORTAL_PREFIX}api/v1/alive",
                "interval": "5s",
                "timeout": "3s",
                "expect_status": 200,
                # the portal answers known names only, and this is one
                "headers": {"Host": [front.domain]},
            },
            "passive": {"fail_duration": "5s", "max_fails": 1},
        },
    }


def _plain(front: Front) -> list[Json]:
    """HTTP: answers to ACME challenges come from the portal, everything else goes to HTTPS."""
    return [
        {
            "match": [{"path": [f"{_CHALLENGES}*"], "method": ["GET"]}],
            "handle": [
                {"handler": "rewrite", "uri": f"{PORTAL_PREFIX.rstrip('/')}{{http.request.uri}}"},
                _portals(front),
            ],
            "terminal": True,
        },
        _to_https(front),
    ]


def _to_https(front: Front) -> Json:
    port = "" if front.https_port == 443 else f":{front.https_port}"
    where = f"https://{{http.request.host}}{port}{{http.request.uri}}"
    answer = {"handler": "static_response", "status_code": 308, "headers": {"Location": [where]}}
    return {"handle": [answer]}


def _certificate(front: Front) -> list[Json]:
    return [
        {
            "match": [{"path": [f"/{front.certificate_word}"]}],
            "handle": [
                {"handler": "rewrite", "uri": f"/{front.certificate.name}"},
                {"handler": "file_server", "root": str(front.certificate.parent)},
            ],
            "terminal": True,
        },
        {"handle": [{"handler": "static_response", "status_code": 404}]},
    ]
