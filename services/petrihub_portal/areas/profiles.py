"""Profiles, sizes and apps that are offered, and to whom: the overview, sizes, apps, versions."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from petrihub_core import settings
from petrihub_core.errors import NotFound, PetriHubError
from petrihub_core.menu import MenuSettings, menu_of
from petrihub_core.roles import Permission
from petrihub_portal import menu_changes
from petrihub_portal.menu_forms import (
    EVERY_APP,
    SIZE_FIELDS,
    Typed,
    group_names,
    read_size,
    size_typed,
    version_typed,
)
from petrihub_portal.menu_look import look_at_menu
from petrihub_portal.pages import go, page
from petrihub_portal.routing import Area
from petrihub_portal.visit import CurrentVisit, Visit, form_of

area = Area("Profiles")
READ, WRITE = Permission.PROFILES_READ, Permission.PROFILES_WRITE
PLACE = "admin/profiles"
_VERSIONS_SHOWN = 20
_BODY = 128 * 1024  # bytes: a line of groups for each of 200 apps


@area.page("GET", "/admin/profiles", needs=READ)
async def overview_page(
    visit: CurrentVisit,
    version: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
) -> Response:
    """The menu in force, or an older version of it."""
    return await _overview(visit, version)


async def _overview(
    visit: Visit,
    version: int | None = None,
    *,
    rules: Typed | None = None,
    error: PetriHubError | None = None,
) -> Response:
    async with visit.portal.database.reading() as session:
        look = await look_at_menu(session, visit.portal.deployment, version)
        current = (await menu_of(session, visit.portal.deployment)).version
        versions = await settings.history(session, MenuSettings.page, limit=_VERSIONS_SHOWN)
    typed = {app: ", ".join(look.menu.app_groups.get(app, ())) for app in look.apps}
    return await page(
        visit,
        "profiles.html",
        status=error.status if error else 200,
        look=look,
        menu=look.menu,
        older=version,
        current=current,
        versions=versions,
        rules={**typed, **(rules or {})},
        may_write=visit.may(WRITE) and version is None,
        may_put_back=visit.may(WRITE),
        every_app=EVERY_APP,
        error=error.jupyterhub_message if error else "",
    )


@area.page("POST", "/admin/profiles/apps", needs=WRITE, max_body=_BODY)
async def save_apps(visit: CurrentVisit) -> Response:
    """For whom which apps are; the fields are `app-<id>` with names of groups."""
    form = await form_of(visit)
    typed: Typed = {}
    try:
        expected = version_typed(form)
        async with visit.portal.database.session() as session:
            look = await look_at_menu(session, visit.portal.deployment)
            typed = {app: form.one(f"app-{app}") for app in look.apps}
            rules = {app: group_names(text) for app, text in typed.items()}
            menu = menu_changes.with_app_groups(look.menu, rules)
            await menu_changes.save(session, visit.actor, menu, expected=expected)
    except PetriHubError as exc:
        return await _overview(visit, rules=typed, error=exc)
    return go(visit, PLACE, said="The rules for apps are saved. They count from the next start.")


@area.page("POST", "/admin/profiles/put-back", needs=WRITE)
async def put_back(visit: CurrentVisit) -> Response:
    """Make an older version the newest one."""
    form = await form_of(visit)
    try:
        expected, version = version_typed(form), version_typed(form, "version")
        async with visit.portal.database.session() as session:
            await menu_changes.put_back(session, visit.actor, version, expected=expected)
    except PetriHubError as exc:
        return await _overview(visit, error=exc)
    return go(visit, PLACE, said=f"Version {version} is in force again, as a new version.")


@area.page("GET", "/admin/profiles/sizes/new", needs=WRITE)
async def new_size_page(visit: CurrentVisit) -> Response:
    """The form for a new size."""
    return await _size_page(visit, size_typed(None))


@area.page("GET", "/admin/profiles/sizes/{size_id}", needs=WRITE)
async def size_page(visit: CurrentVisit, size_id: str) -> Response:
    """The form for one size."""
    async with visit.portal.database.reading() as session:
        menu = await menu_of(session, visit.portal.deployment)
    size = menu.size(size_id)
    if size is None:
        raise NotFound("There is no such size.", hint="Look at the list again.")
    return await _size_page(visit, size_typed(size))


@area.page("POST", "/admin/profiles/sizes", needs=WRITE)
async def save_size(visit: CurrentVisit) -> Response:
    """Save a size, or delete it (`do=delete`)."""
    form = await form_of(visit)
    typed = {name: form.one(name) for name in SIZE_FIELDS}
    delete = form.one("do") == "delete"
    expected: int | None = None
    try:
        expected = version_typed(form)
        async with visit.portal.database.session() as session:
            menu = await menu_of(session, visit.portal.deployment)
            if delete:
                menu = menu_changes.without_size(menu, typed["old"])
            else:
                menu = menu_changes.with_size(menu, typed["old"], read_size(typed))
            await menu_changes.save(session, visit.actor, menu, expected=expected)
    except PetriHubError as exc:
        return await _size_page(visit, typed, expected=expected, error=exc)
    done = "deleted" if delete else "saved. It counts from the next start"
    return go(visit, PLACE, said=f"The size {typed['title'] or typed['old']} is {done}.")


async def _size_page(
    visit: Visit,
    typed: Typed,
    *,
    expected: int | None = None,
    error: PetriHubError | None = None,
) -> Response:
    async with visit.portal.database.reading() as session:
        menu = await menu_of(session, visit.portal.deployment)
    return await page(
        visit,
        "size_edit.html",
        status=error.status if error else 200,
        typed=typed,
        version=menu.version if expected is None else expected,
        used=[each.title for each in menu.profiles if typed["old"] in each.sizes],
        error=error.jupyterhub_message if error else "",
    )
