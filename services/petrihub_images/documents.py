"""Manifests and configurations of images, as plain JSON documents. Pure.

A checkpoint is its base's layers and one more; everything else about it comes from the base, so
that nothing in a workspace can say how the next one is started.
"""

import json
from datetime import datetime
from typing import Any

from petrihub_core.errors import Refused
from petrihub_core.image_store import MANIFEST, digest_of

Json = dict[str, Any]

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_USER = "1000:1000"
_OURS = "org.petrihub."  # labels that tell what an image of ours is: a checkpoint is none of them
_KEPT = ("Entrypoint", "Cmd", "WorkingDir", "Env", "Shell", "StopSignal")
_FREE = ("created", "author")  # what may differ from the configuration that was ordered


def oci_manifest(manifest: Json) -> Json:
    """The engine's manifest of a base in OCI's words; the layers are the same blobs."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {**_pointer(manifest["config"]), "mediaType": CONFIG},
        "layers": [{**_pointer(layer), "mediaType": LAYER} for layer in manifest["layers"]],
    }


def _pointer(descriptor: Json) -> Json:
    return {"digest": str(descriptor["digest"]), "size": int(descriptor["size"])}


def config_for_checkpoints(base: Json) -> Json:
    """The base's configuration as checkpoints get it: its environment and start, and our user."""
    inner = base.get("config") or {}
    labels = inner.get("Labels") or {}
    kept = {name: inner[name] for name in _KEPT if inner.get(name)}
    return {
        "architecture": base["architecture"],
        "os": base["os"],
        "created": base.get("created", ""),
        "config": {
            **kept,
            "User": _USER,
            "Labels": {name: labels[name] for name in sorted(labels) if not name.startswith(_OURS)},
        },
        "rootfs": base["rootfs"],
        "history": base.get("history") or [],
    }


def with_layer(base: Json, brings: Json, step: Json, *, created: datetime) -> Json:
    """The base's configuration with the last layer of `brings` on top; `step` tells its history."""
    return {
        **base,
        "created": created.isoformat(),
        "rootfs": {
            "type": "layers",
            "diff_ids": [*base["rootfs"]["diff_ids"], brings["rootfs"]["diff_ids"][-1]],
        },
        "history": [*base["history"], step],
    }


def manifest_of(config: bytes, layers: list[Json]) -> Json:
    """The manifest of an image: the bytes of its configuration, and its layers."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [{**_pointer(layer), "mediaType": LAYER} for layer in layers],
    }


def require_fits(manifest: Json, config: Json, base: Json, ordered: Json) -> Json:
    """The new layer of what was pushed; raises `Refused` unless it is the base and one layer.

    `base` is the base's manifest and `ordered` the configuration, both as they were given out.
    """
    layers = manifest.get("layers")
    if manifest.get("schemaVersion") != 2 or not isinstance(layers, list) or not layers:
        raise _wrong("it has no layers")
    below = [(each["digest"], each["size"]) for each in base["layers"]]
    if [(each.get("digest"), each.get("size")) for each in layers[:-1]] != below:
        raise _wrong("its layers are not those of its base and one more")
    layer: Json = layers[-1]
    if layer.get("mediaType") != LAYER:
        raise _wrong("its layer is of another form")
    _require_config(config, ordered)
    return layer


def _require_config(config: Json, ordered: Json) -> None:
    plain = {name: value for name, value in config.items() if name not in _FREE}
    expected = {name: value for name, value in ordered.items() if name not in _FREE}
    rootfs, history = plain.pop("rootfs", None), plain.pop("history", None)
    below, before = expected.pop("rootfs"), expected.pop("history")
    if plain != expected:
        raise _wrong("its configuration is not the one that was ordered")
    ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(ids, list) or ids[:-1] != below["diff_ids"] or len(ids) == 0:
        raise _wrong("its layers are not those of its base and one more")
    if not isinstance(history, list) or history[:-1] != before:
        raise _wrong("its history is not that of its base")


def decoded(content: bytes) -> Json:
    """The document in these bytes; raises `Refused` if there is none."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise _wrong("it cannot be read") from exc
    if not isinstance(document, dict):
        raise _wrong("it cannot be read")
    return document


def _wrong(why: str) -> Refused:
    return Refused(f"What was pushed is not a checkpoint of this workspace: {why}.")
