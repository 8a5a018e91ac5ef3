"""What stands before the registry: Caddy's configuration, made by one pure function.

Only the calls of a push and a pull by digest are let through, with names as we make them. The
registry itself asks for tokens; here ends what no token may allow: tags that move, deleting,
lists of what there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_DIGEST = "sha256:[0-9a-f]{64}"
_CHECKPOINTS = "checkpoints/[0-9a-f]{32}/[a-z0-9][a-z0-9.-]{0,63}"
_BASES = "base/[a-z0-9][a-z0-9._/-]{0,127}"
_BASE_TAG = "sha256-[0-9a-f]{64}"  # made of the engine's digest of the image, so it cannot move
_WORKSPACE = "/services/portal/api/v1/workspace"
_MANIFEST_BYTES = 4 * 2**20
_LAYER_BYTES = 64 * 2**30
_WORDS_BYTES = 16 * 2**20  # a result names up to a thousand files
_PART_BYTES = 20 * 2**20  # helpers push in parts of 16 MiB
_SMALL_BYTES = 64 * 2**10
_HEADER_BYTES = 32 * 1024
# seconds in Caddy's words; a layer of many gigabytes may take hours, a helper waits 25 s for orders
_PATIENCE: Json = {"read_header_timeout": "10s", "read_timeout": "4h", "idle_timeout": "2m"}
# while a part is started again, requests wait a moment instead of failing
_PATIENT: Json = {"try_duration": "10s", "try_interval": "250ms"}
_REFUSED = (
    '{"errors":[{"code":"DENIED","message":"This PetriHub keeps images by digest only; '
    'this call is not needed for that."}]}\n'
)


@dataclass(frozen=True, kw_only=True)
class ImageFront:
    """What the front must know; addresses are host:port. `pods` is where helpers reach it."""

    engine: str
    pods: str
    registry: str
    service: str
    portals: tuple[str, ...]
    storage: Path  # for what Caddy keeps of its own


def image_front_config(front: ImageFront) -> Json:
    """The configuration for `caddy run`, as JSON."""
    return {
        "admin": {"disabled": True, "config": {"persist": False}},
        "storage": {"module": "file_system", "root": str(front.storage)},
        "logging": {"logs": {"default": {"level": "WARN"}}},
        "apps": {
            "http": {
                "grace_period": "2s",
                "servers": {
                    "engine": _server(front.engine, _engine(front)),
                    "pods": _server(front.pods, _pods(front)),
                },
            }
        },
    }


def _server(listen: str, routes: list[Json]) -> Json:
    return {
        "listen": [listen],
        "protocols": ["h1"],
        "max_header_bytes": _HEADER_BYTES,
        "automatic_https": {"disable": True},
        "routes": [
            *routes,
            {
                "handle": [
                    {
                        "handler": "static_response",
                        "status_code": 403,
                        "headers": {"Content-Type": ["application/json"]},
                        "body": _REFUSED,
                    }
                ]
            },
        ],
        **_PATIENCE,
    }


def _engine(front: ImageFront) -> list[Json]:
    """For the engine of this machine: bases are pushed by it, checkpoints pulled."""
    names = f"({_CHECKPOINTS}|{_BASES})"
    tagged = f"({_DIGEST}|{_BASE_TAG})"
    return [
        *_registry(front, names),
        _let([front.registry], ["GET", "HEAD"], f"^/v2/{_BASES}/manifests/{tagged}$", 0),
        _let([front.registry], ["PUT"], f"^/v2/{_BASES}/manifests/{tagged}$", _MANIFEST_BYTES),
    ]


def _pods(front: ImageFront) -> list[Json]:
    """For workspaces and their helpers: checkpoints only, and who gives orders and tokens."""
    return [
        # for JupyterLab's panel: the portal takes a workspace's own token there, and nowhere else
        _let(front.portals, ["GET"], f"^{_WORKSPACE}(/checkpoints/[0-9a-f]{{32}})?$", 0),
        _let(front.portals, ["DELETE"], f"^{_WORKSPACE}/checkpoints/[0-9a-f]{{32}}$", 0),
        _let(
            front.portals,
            ["POST"],
            f"^{_WORKSPACE}/checkpoints(/[0-9a-f]{{32}}/(confirm|cancel))?$",
            0,
        ),
        _let([front.service], ["GET"], "^/token$", 0),
        _let([front.service], ["GET"], "^/sidecar/v1/order$", 0),
        _let(
            [front.service],
            ["POST"],
            "^/sidecar/v1/orders/[0-9a-f]{32}/(progress|result)$",
            _WORDS_BYTES,
        ),
        *_registry(front, _CHECKPOINTS, _ask_first(front.service)),
    ]


def _ask_first(service: str) -> Json:
    """Go on only with what the image service lets pass: the registry believes an old token."""
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": service}],
        "rewrite": {"method": "GET", "uri": "/registry/passed"},
        "headers": {"request": {"set": {"X-Forwarded-Method": ["{http.request.method}"]}}},
        "handle_response": [
            {"match": {"status_code": [2]}, "routes": [{"handle": [{"handler": "vars"}]}]}
        ],
        "load_balancing": _PATIENT,
    }


def _registry(front: ImageFront, names: str, *first: Json) -> list[Json]:
    """The calls of pushes and pulls; the handlers `first` see each of them before the registry."""
    registry = front.registry
    upload = f"^/v2/{names}/blobs/uploads/[0-9a-f-]{{36}}$"
    routes = [
        _let([registry], ["GET"], "^/v2/$", 0),
        _let([registry], ["GET", "HEAD"], f"^/v2/{names}/(blobs|manifests)/{_DIGEST}$", 0),
        _let([registry], ["POST"], f"^/v2/{names}/blobs/uploads/$", _LAYER_BYTES),
        # the registry gives a whole upload up when a part of it is cut: it gets whole parts only
        _let([registry], ["PATCH"], upload, _LAYER_BYTES, held_bytes=_PART_BYTES),
        _let([registry], ["GET", "PUT"], upload, _LAYER_BYTES),
        _let([registry], ["PUT"], f"^/v2/{names}/manifests/{_DIGEST}$", _MANIFEST_BYTES),
    ]
    return [{**route, "handle": [*first, *route["handle"]]} for route in routes]


def _let(
    upstreams: Sequence[str], methods: list[str], path: str, body_bytes: int, *, held_bytes: int = 0
) -> Json:
    """Let these calls through; the first `held_bytes` of a body only when they are all there."""
    passing: Json = {"flush_interval": -1}  # bytes go through as they come, never a layer is held
    if held_bytes:
        # with a flush interval Caddy would send on what it has of a request that was cut
        passing = {"buffer_requests": True, "max_buffer_size": held_bytes}
    return {
        "match": [{"method": methods, "path_regexp": {"pattern": path}}],
        "handle": [
            {"handler": "request_body", "max_size": max(body_bytes, _SMALL_BYTES)},
            {
                "handler": "reverse_proxy",
                "upstreams": [{"dial": each} for each in upstreams],
                **passing,
                "load_balancing": _PATIENT,
            },
        ],
        "terminal": True,
    }
