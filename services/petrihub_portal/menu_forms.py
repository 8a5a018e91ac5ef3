"""The forms of the page Profiles: what was typed, and the profile or size that it means."""

import math

from pydantic import ValidationError

from petrihub_core.deployment import Profile, Size
from petrihub_core.errors import Refused
from petrihub_core.menu import Menu
from petrihub_portal.menu_changes import explained
from petrihub_portal.visit import Form

PROFILE_FIELDS = (
    "old",
    "id",
    "title",
    "description",
    "image",
    "first",
    "groups",
    "place",
    "at_stop",
    "keep_saves",
)
SIZE_FIELDS = ("old", "id", "title", "cpu", "memory_gib", "groups")
EVERY_APP = "*"
SAVE = "save"

Typed = dict[str, str]


def group_names(text: str) -> tuple[str, ...]:
    """The names in a field where they stand with commas or spaces between."""
    return tuple(dict.fromkeys(text.replace(",", " ").casefold().split()))


def number(text: str, what: str) -> float:
    """A number as people type it, with a point or a comma; raises `Refused` naming `what`."""
    try:
        value = float(text.replace(",", ".")) if len(text) <= 20 else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Refused(f"{what}: this is not a number.", hint="Write it as 2 or 0.5.")
    return value


def version_typed(form: Form, field: str = "expected") -> int:
    """The version that the form was made from; raises `Refused` if it does not say."""
    text = form.one(field)
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise Refused("This form is not complete.", hint="Reload the page, then try again.")
    return int(text)


def profile_typed(profile: Profile | None, menu: Menu) -> Typed:
    """The fields of a profile as its form shows them; of a new one without `profile`."""
    if profile is None:
        sizes = menu.profiles[0].sizes
        return {
            **dict.fromkeys(PROFILE_FIELDS, ""),
            "image": menu.profiles[0].image,
            "first": sizes[0],
            "keep_saves": str(Profile.model_fields["keep_saves"].default),
            "place": str(len(menu.profiles) + 1),
        }
    return {
        "old": profile.id,
        "id": profile.id,
        "title": profile.title,
        "description": profile.description,
        "image": profile.image,
        "first": profile.sizes[0],
        "groups": ", ".join(profile.groups),
        "at_stop": SAVE if profile.save_at_stop else "",
        "keep_saves": str(profile.keep_saves),
        "place": str(menu.profiles.index(profile) + 1),
    }


def read_profile(form: Form, menu: Menu) -> tuple[Profile, int]:
    """The typed profile and its place on the start page; raises `Refused` in words.

    What is said of its tool, which the form does not show, stays while the image stays.
    """
    typed = {name: form.one(name) for name in PROFILE_FIELDS}
    sizes = form.many("sizes")
    if not sizes:
        raise Refused("Sizes: choose at least one.", hint="Without a size nobody can start it.")
    if typed["first"] in sizes:  # the first is what is preselected
        sizes = [typed["first"], *(each for each in sizes if each != typed["first"])]
    apps = (EVERY_APP,) if form.one("every") == "yes" else tuple(form.many("apps"))
    if not typed["title"]:
        raise Refused("Title: give it one.", hint="People read it on the start page.")
    try:
        profile = Profile(
            id=typed["id"],
            title=typed["title"],
            description=typed["description"],
            image=typed["image"] or Profile.model_fields["image"].default,
            sizes=tuple(sizes),
            apps=apps,
            groups=group_names(typed["groups"]),
            save_at_stop=typed["at_stop"] == SAVE,
            keep_saves=int(number(typed["keep_saves"] or "10", "Saves that are kept")),
        )
    except ValidationError as exc:
        raise explained(exc) from exc
    before = menu.profile(typed["old"])
    if before is not None and before.image == profile.image:
        profile = profile.model_copy(update={"tool": before.tool})
    return profile, int(number(typed["place"] or "1", "Place"))


def size_typed(size: Size | None) -> Typed:
    """The fields of a size as its form shows them; empty ones of a new one."""
    if size is None:
        return dict.fromkeys(SIZE_FIELDS, "")
    return {
        "old": size.id,
        "id": size.id,
        "title": size.title,
        "cpu": f"{size.cpu:g}",
        "memory_gib": f"{size.memory_gib:g}",
        "groups": ", ".join(size.groups),
    }


def read_size(typed: Typed) -> Size:
    """The typed size; raises `Refused` in words."""
    if not typed["title"]:
        raise Refused("Title: give it one.", hint="People read it on the start page.")
    try:
        return Size(
            id=typed["id"],
            title=typed["title"],
            cpu=number(typed["cpu"], "CPU cores"),
            memory_gib=number(typed["memory_gib"], "Memory"),
            groups=group_names(typed["groups"]),
        )
    except ValidationError as exc:
        raise explained(exc) from exc
