"""Config and manifest of a checkpoint: those of its base, with one layer more."""

import json
from dataclasses import dataclass
from typing import Any

from petrihub_sidecars.checkpointer.registry import OCI_MANIFEST
from petrihub_sidecars.checkpointer.stream import Layer

Json = dict[str, Any]

_OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True)
class History:
    """Who saved what, and when; it becomes part of the image."""

    author: str
    comment: str
    created: str


def with_layer(config: Json, layer: Layer, history: History) -> bytes:
    """The base's config with this layer on top, as bytes that are always the same."""
    step = {
        "created": history.created,
        "author": history.author,
        "created_by": "petrihub checkpoint",
        "comment": history.comment,
    }
    below = config.get("rootfs", {}).get("diff_ids", [])
    return _bytes(
        {
            **config,
            "created": history.created,
            "rootfs": {"type": "layers", "diff_ids": [*below, layer.diff_id]},
            "history": [*config.get("history", []), step],
        }
    )


def manifest_of(base: Json, config_digest: str, config_size: int, layer: Layer) -> bytes:
    """An OCI manifest: the layers of the base, which may be in Docker's form, and this one."""
    return _bytes(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": _OCI_CONFIG, "digest": config_digest, "size": config_size},
            "layers": [
                *(
                    {
                        "mediaType": _oci(below["mediaType"]),
                        "digest": below["digest"],
                        "size": below["size"],
                    }
                    for below in base["layers"]
                ),
                {"mediaType": _OCI_LAYER, "digest": layer.digest, "size": layer.size},
            ],
        }
    )


def _oci(media_type: str) -> str:
    return _OCI_LAYER if media_type == _DOCKER_LAYER else media_type


def _bytes(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
