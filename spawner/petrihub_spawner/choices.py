"""What a person may choose about a workspace: a closed schema, refused in words."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.deployment import Profile, Size
from petrihub_core.errors import NotAllowed, Refused
from petrihub_core.menu import Offered, OfferedProfile, OfferedSize
from petrihub_spawner.pod.checks import reserved

FIELDS = ("profile", "size", "checkpoint")
_BYTES_LIMIT = 1024  # a profile id and a size id have 32 letters each
_FORM_TOKEN = "_xsrf"  # noqa: S105 - the name of a form field; JupyterHub has checked its value
_HINT = "Choose a profile and a size on the start page."


@dataclass(frozen=True)
class Choices:
    """A profile and one of its sizes, both on the menu and offered to the person.

    `checkpoint` is one of theirs to continue from; None: a fresh start from the profile's image.
    """

    profile: Profile
    size: Size
    checkpoint: Checkpoint | None = None

    def options(self) -> dict[str, str]:
        """The choices as JupyterHub stores them."""
        options = {"profile": self.profile.id, "size": self.size.id}
        return {**options, "checkpoint": self.checkpoint.id} if self.checkpoint else options


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


def read_choices(
    options: object, offered: Offered, *, contact: str = "", saved: Sequence[Checkpoint] = ()
) -> Choices:
    """The choices in `options`; `contact` is whom to ask for what is refused, if known.

    `saved` are the person's checkpoints.

    Raises `Refused` for anything that is not on the menu, `NotAllowed` for what is on it but not
    for this person. What is left out is the profile that their group preselects, else the first
    that is theirs, and its first size that is.
    """
    words = read_words(options)
    profile = _profile(words.get("profile") or first_profile(offered).profile.id, offered)
    size = _size(words.get("size") or first_size(profile).size.id, profile)
    for each in (profile, size):
        if each.refusal:
            raise NotAllowed(each.refusal, hint=f"Ask {contact or 'your administrator'}.")
    checkpoint = _checkpoint(words.get("checkpoint", ""), profile.profile, saved)
    return Choices(profile.profile, size.size, checkpoint)


def read_words(options: object) -> dict[str, str]:
    """The choices as words, by their fields; raises `Refused` for anything of another form."""
    if not isinstance(options, Mapping):
        raise Refused("The choices must be an object with profile and size.", hint=_HINT)
    _refuse_forged(options)
    words: dict[str, str] = {}
    for name, value in options.items():
        if not isinstance(value, str):
            raise Refused(f"The choice {name!r} must be a word.", hint=_HINT)
        words[name] = value
    return words


def first_profile(offered: Offered) -> OfferedProfile:
    """What is preselected: the group's default, else the first that this person may use."""
    preferred = offered.profile(offered.preferred)
    if preferred is not None and not preferred.refusal:
        return preferred
    return next((each for each in offered.profiles if not each.refusal), offered.profiles[0])


def first_size(profile: OfferedProfile) -> OfferedSize:
    """The profile's first size that this person may choose, else its first."""
    return next((each for each in profile.sizes if not each.refusal), profile.sizes[0])


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


def _profile(profile_id: str, offered: Offered) -> OfferedProfile:
    found = offered.profile(profile_id)
    if found is None:
        known = ", ".join(each.profile.id for each in offered.profiles if not each.refusal)
        raise Refused(f"There is no profile {_shown(profile_id)}.", hint=f"Choose one of: {known}.")
    return found


def _size(size_id: str, profile: OfferedProfile) -> OfferedSize:
    found = profile.size(size_id)
    if found is None:
        known = ", ".join(each.size.id for each in profile.sizes if not each.refusal)
        raise Refused(
            f"The profile {profile.profile.title!r} has no size {_shown(size_id)}.",
            hint=f"Choose one of: {known}.",
        )
    return found


def _checkpoint(
    checkpoint_id: str, profile: Profile, saved: Sequence[Checkpoint]
) -> Checkpoint | None:
    if not checkpoint_id:
        return None
    found = next((each for each in saved if each.id == checkpoint_id), None)
    if found is None:
        raise Refused(
            "You have no such checkpoint, or not any more.",
            hint="Choose another one on the start page, or a fresh start.",
        )
    if found.base_image != profile.image:
        raise Refused(
            f"The checkpoint {found.name!r} was saved in another image than {profile.title} runs.",
            hint="Choose the profile in which it was saved, or a fresh start.",
        )
    return found


def _shown(value: object) -> str:
    # what was sent is shown back short and quoted: it also ends in logs
    return repr(str(value)[:32])
