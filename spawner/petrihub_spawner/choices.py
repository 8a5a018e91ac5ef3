"""What a person may choose about a workspace: a closed schema, refused in words."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from petrihub_core.deployment import Deployment, Profile, Size
from petrihub_core.errors import Refused
from petrihub_spawner.pod.checks import reserved

FIELDS = ("profile", "size")
_BYTES_LIMIT = 1024  # a profile id and a size id have 32 letters each
_FORM_TOKEN = "_xsrf"  # noqa: S105 - the name of a form field; JupyterHub has checked its value
_HINT = "Choose a profile and a size on the start page."


@dataclass(frozen=True)
class Choices:
    """A profile and one of its sizes, both known to this deployment."""

    profile: Profile
    size: Size

    def options(self) -> dict[str, str]:
        """The choices as JupyterHub stores them."""
        return {"profile": self.profile.id, "size": self.size.id}


def read_form(form: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The fields of a posted form, each given once; what they say is not judged here."""
    options: dict[str, Any] = {}
    for name, values in form.items():
        if name == _FORM_TOKEN:
            continue
        if len(values) != 1:
            raise Refused(f"The field {_shown(name)} was sent {len(values)} times.", hint=_HINT)
        options[name] = values[0]
    return options


def read_choices(options: object, deployment: Deployment) -> Choices:
    """The choices in `options`; raises `Refused` for anything that is not one of ours.

    What is left out is the deployment's first profile, and the profile's first size.
    """
    if not isinstance(options, Mapping):
        raise Refused("The choices must be an object with profile and size.", hint=_HINT)
    _refuse_forged(options)
    for name, value in options.items():
        if not isinstance(value, str):
            raise Refused(f"The choice {name!r} must be a word.", hint=_HINT)
    profile = _profile(options.get("profile") or deployment.profiles[0].id, deployment)
    return Choices(profile, _size(options.get("size") or profile.sizes[0], profile, deployment))


def _refuse_forged(options: Mapping[Any, Any]) -> None:
    foreign = [name for name in options if name not in FIELDS]
    if foreign:
        named = ", ".join(_shown(name) for name in foreign[:5])
        why = "These names belong to PetriHub itself." if reserved(map(str, foreign)) else ""
        raise Refused(f"A workspace cannot be started with {named}. {why}".strip(), hint=_HINT)
    try:
        size = len(json.dumps(dict(options)))
    except (TypeError, ValueError, RecursionError) as exc:
        raise Refused("The choices cannot be read.", hint=_HINT) from exc
    if size > _BYTES_LIMIT:
        raise Refused("The choices are too long.", hint=_HINT)


def _profile(profile_id: str, deployment: Deployment) -> Profile:
    found = deployment.profile(profile_id)
    if found is None:
        offered = ", ".join(profile.id for profile in deployment.profiles)
        raise Refused(
            f"There is no profile {_shown(profile_id)}.", hint=f"Choose one of: {offered}."
        )
    return found


def _size(size_id: str, profile: Profile, deployment: Deployment) -> Size:
    found = deployment.size(size_id) if size_id in profile.sizes else None
    if found is None:
        raise Refused(
            f"The profile {profile.title!r} has no size {_shown(size_id)}.",
            hint=f"Choose one of: {', '.join(profile.sizes)}.",
        )
    return found


def _shown(value: object) -> str:
    # what was sent is shown back short and quoted: it also ends in logs
    return repr(str(value)[:32])
