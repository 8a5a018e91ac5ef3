"""Changes of the menu: one profile, one size, the groups of the apps, an older version put back.

Each change makes a whole new menu; what is saved is always a version that fits together.
"""

from collections.abc import Mapping
from dataclasses import replace

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit, settings
from petrihub_core.deployment import Profile, Size
from petrihub_core.errors import Conflict, NotFound, Refused
from petrihub_core.groups import groups_named
from petrihub_core.menu import Menu, MenuSettings
from petrihub_core.records import SettingsVersion
from petrihub_core.roles import Actor, Permission


def with_profile(menu: Menu, old_id: str, profile: Profile, place: int | None = None) -> Menu:
    """The menu with `profile` in the place of the one called `old_id`; empty: a new one.

    `place` counts from 1 on the start page. Raises `Conflict` if another one has the id.
    """
    _require_free(menu.profile(profile.id), old_id, profile.id, "profile")
    others = [each for each in menu.profiles if each.id != old_id]
    at = next((n for n, each in enumerate(menu.profiles) if each.id == old_id), len(others))
    if place is not None:
        at = place - 1
    at = min(max(at, 0), len(others))
    return replace(menu, profiles=(*others[:at], profile, *others[at:]))


def without_profile(menu: Menu, profile_id: str) -> Menu:
    """The menu without this profile; raises `Conflict` if it is the last."""
    kept = tuple(each for each in menu.profiles if each.id != profile_id)
    if len(kept) == len(menu.profiles):
        raise NotFound("There is no such profile.", hint="Look at the list again.")
    if not kept:
        raise Conflict(
            "This is the last profile, and without one nobody can start anything.",
            hint="Make another profile first.",
        )
    return replace(menu, profiles=kept)


def with_size(menu: Menu, old_id: str, size: Size) -> Menu:
    """The menu with `size` in the place of the one called `old_id`; empty: a new one.

    A new id is followed by the profiles. Raises `Conflict` if another size has the id.
    """
    _require_free(menu.size(size.id), old_id, size.id, "size")
    sizes = tuple(size if each.id == old_id else each for each in menu.sizes)
    if menu.size(old_id) is None:
        sizes = (*menu.sizes, size)
    profiles = tuple(
        each.model_copy(
            update={"sizes": tuple(size.id if name == old_id else name for name in each.sizes)}
        )
        for each in menu.profiles
    )
    return replace(menu, sizes=sizes, profiles=profiles)


def without_size(menu: Menu, size_id: str) -> Menu:
    """The menu without this size; raises `Conflict` while a profile offers it."""
    if menu.size(size_id) is None:
        raise NotFound("There is no such size.", hint="Look at the list again.")
    using = [each.title for each in menu.profiles if size_id in each.sizes]
    if using:
        raise Conflict(
            f"The size is offered by {', '.join(using)}.", hint="Take it out of them first."
        )
    return replace(menu, sizes=tuple(each for each in menu.sizes if each.id != size_id))


def with_app_groups(menu: Menu, rules: Mapping[str, tuple[str, ...]]) -> Menu:
    """The menu with these apps for these groups only; every other app is for everybody."""
    return replace(menu, app_groups={app: groups for app, groups in rules.items() if groups})


def _require_free(found: Profile | Size | None, old_id: str, new_id: str, what: str) -> None:
    if found is not None and new_id != old_id:
        raise Conflict(f"There is already a {what} {new_id!r}.", hint="Choose another id.")


def as_settings(menu: Menu) -> MenuSettings:
    """The menu as it is saved; raises `Refused` if its parts do not fit together."""
    try:
        return MenuSettings(
            sizes=menu.sizes, profiles=menu.profiles, app_groups=dict(menu.app_groups)
        )
    except ValidationError as exc:
        raise explained(exc) from exc


_FIELDS = {
    "id": "Short name",
    "title": "Title",
    "description": "Description",
    "image": "Image",
    "sizes": "Sizes",
    "apps": "Apps",
    "cpu": "CPU cores",
    "memory_gib": "Memory",
    "groups": "Groups",
}
_RULES = {
    "string_pattern_mismatch": "use 1 to 32 small letters, digits and hyphens",
    "float_parsing": "this is not a number",
    "finite_number": "this is not a number",
}


def explained(exc: ValidationError) -> Refused:
    """The first thing that is wrong, in words."""
    first = exc.errors()[0]
    field = next((part for part in reversed(first["loc"]) if part in _FIELDS), None)
    what = _RULES.get(first["type"], first["msg"].removeprefix("Value error, "))
    words = f"{_FIELDS[str(field)]}: {what}." if field else f"This does not fit: {what}."
    return Refused(words, hint="Correct it, then try again.")


async def save(session: AsyncSession, actor: Actor, menu: Menu, *, expected: int) -> int:
    """Save the menu as a new version; its number.

    Raises `Refused` if it does not fit together or newly names a group that there is not,
    `Conflict` if somebody else saved since the version `expected`.
    """
    actor.require(Permission.PROFILES_WRITE)
    values = as_settings(menu)
    # a rule may outlive its group: that must not stand in the way of other changes
    before = _menu(await settings.read(session, MenuSettings)).group_names()
    await groups_named(session, sorted(menu.group_names() - before))
    return await settings.write(session, values, by=actor.name, expected=expected)


async def put_back(session: AsyncSession, actor: Actor, version: int, *, expected: int) -> int:
    """Save an older version's content as the newest one; its number.

    Version 0 is petrihub.toml's menu.
    """
    actor.require(Permission.PROFILES_WRITE)
    values = MenuSettings() if version == 0 else await saved(session, version)
    number = await settings.write(session, values, by=actor.name, expected=expected)
    await audit.record(
        session,
        actor=actor.name,
        action="menu.put.back",
        target=MenuSettings.page,
        detail={"version": version, "as": number},
    )
    return number


async def saved(session: AsyncSession, version: int) -> MenuSettings:
    """What was saved as this version; raises `NotFound`, or `Refused` if we cannot read it."""
    row = await session.get(SettingsVersion, (MenuSettings.page, version))
    if row is None:
        raise NotFound("There is no such version.", hint="Look at the list of versions.")
    try:
        return MenuSettings.model_validate(row.content)
    except ValidationError as exc:
        raise Refused("This release cannot read that version.", hint="Choose another one.") from exc


def _menu(values: MenuSettings) -> Menu:
    return Menu(sizes=values.sizes, profiles=values.profiles, app_groups=values.app_groups)
