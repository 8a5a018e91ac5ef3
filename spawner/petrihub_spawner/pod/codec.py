"""A pod to JSON and back, for records and previews. Values of secrets are never written."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from petrihub_spawner.pod.model import WorkspacePod

Json = dict[str, Any]


def encode(pod: WorkspacePod) -> Json:
    """The pod as plain JSON values, without the values of its secrets."""
    encoded: Json = _encode(without_secrets(pod))
    return encoded


def decode(data: Json) -> WorkspacePod:
    """The pod that was encoded, with empty secrets; raises `ValueError` if it is not one."""
    try:
        pod: WorkspacePod = _decode(WorkspacePod, data)
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError("this is not an encoded pod") from exc
    return pod


def without_secrets(pod: WorkspacePod) -> WorkspacePod:
    """The same pod with no secrets in any container, nor at its door."""
    return replace(
        pod,
        door=replace(pod.door, proof=""),
        main=replace(pod.main, secrets={}),
        apps=tuple(replace(c, secrets={}) for c in pod.apps),
        sidecars=tuple(replace(c, secrets={}) for c in pod.sidecars),
    )


def _encode(value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: _encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: _encode(value[key]) for key in sorted(value)}
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    return value


def _decode(kind: Any, value: Any) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        unknown = set(value) - set(hints)
        if unknown:
            raise ValueError(f"{kind.__name__} has no {sorted(unknown)[0]!r}")
        return kind(**{name: _decode(hints[name], value[name]) for name in value})
    origin = get_origin(kind)
    if origin is UnionType:  # something, or None
        return None if value is None else _decode(get_args(kind)[0], value)
    if origin is tuple:
        return tuple(_decode(get_args(kind)[0], item) for item in value)
    if origin is Mapping:
        return {str(key): str(item) for key, item in value.items()}
    if kind is float:
        return float(value)
    if not isinstance(value, kind):
        raise ValueError(f"{value!r} is no {kind.__name__}")
    return value
