"""One profile: its form, and the preview of what it would run, before it is saved."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.deployment import Profile
from petrihub_core.errors import NotFound, PetriHubError
from petrihub_core.menu import Menu, menu_of
from petrihub_portal import menu_changes, previews
from petrihub_portal.areas.profiles import PLACE, READ, WRITE
from petrihub_portal.menu_forms import (
    EVERY_APP,
    PROFILE_FIELDS,
    Typed,
    profile_typed,
    read_profile,
    version_typed,
)
from petrihub_portal.menu_look import look_at_menu
from petrihub_portal.pages import fragment, go, page
from petrihub_portal.previews import Asked, Sample
from petrihub_portal.routing import Area
from petrihub_portal.visit import CurrentVisit, Form, Visit, form_of

area = Area("Profiles")


@dataclass(frozen=True, kw_only=True)
class _Filled:
    """A form as it is shown: its fields, the ticked sizes and apps, the version it is from."""

    typed: Typed
    sizes: tuple[str, ...]
    apps: tuple[str, ...]
    version: int | None = None

    @classmethod
    def of(cls, profile: Profile | None, menu: Menu) -> "_Filled":
        """A saved profile's; a new one's starts like the first of the menu."""
        return cls(
            typed=profile_typed(profile, menu),
            sizes=(profile or menu.profiles[0]).sizes,
            apps=profile.apps if profile else (EVERY_APP,),
        )

    @classmethod
    def sent(cls, form: Form) -> "_Filled":
        """As it was sent, right or wrong."""
        every = form.one("every") == "yes"
        return cls(
            typed={name: form.one(name) for name in PROFILE_FIELDS},
            sizes=tuple(form.many("sizes")),
            apps=(EVERY_APP,) if every else tuple(form.many("apps")),
        )


@area.page("GET", "/admin/profiles/new", needs=WRITE)
async def new_page(visit: CurrentVisit) -> Response:
    """The form for a new profile."""
    async with visit.portal.database.reading() as session:
        menu = await menu_of(session, visit.portal.deployment)
    return await _form_page(visit, _Filled.of(None, menu))


@area.page("GET", "/admin/profiles/edit/{profile_id}", needs=READ)
async def edit_page(
    visit: CurrentVisit,
    profile_id: str,
    size: Annotated[str, Query(max_length=64)] = "",
    person: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """The form for one profile, with its preview."""
    async with visit.portal.database.reading() as session:
        menu = await menu_of(session, visit.portal.deployment)
        profile = menu.profile(profile_id)
        if profile is None:
            raise NotFound("There is no such profile.", hint="Look at the list again.")
        asked = Asked(profile=profile.id, size=size, person=person)
        shown = await _shown(visit, session, menu, asked)
    return await _form_page(visit, _Filled.of(profile, menu), asked=asked, shown=shown)


async def _shown(visit: Visit, session: AsyncSession, menu: Menu, asked: Asked) -> dict[str, Any]:
    """The preview for a template, or why there is none."""
    try:
        sample: Sample | None = await previews.preview(
            session, visit.portal.deployment, visit.actor, menu, asked
        )
    except PetriHubError as exc:
        return {"sample": None, "sample_problem": exc.jupyterhub_message}
    return {"sample": sample, "sample_problem": ""}


@area.page("POST", "/admin/profiles/preview", needs=READ)
async def preview(visit: CurrentVisit) -> Response:
    """What the typed profile would run; nothing is saved. A fragment for htmx."""
    form = await form_of(visit)
    filled = _Filled.sent(form)
    asked = Asked(
        profile=filled.typed["id"], size=form.one("preview_size"), person=form.one("person")
    )
    async with visit.portal.database.reading() as session:
        try:
            menu = await menu_of(session, visit.portal.deployment)
            profile, place = read_profile(form, menu)
            menu = menu_changes.with_profile(menu, filled.typed["old"], profile, place)
            menu_changes.as_settings(menu)
            shown = await _shown(visit, session, menu, asked)
        except PetriHubError as exc:
            shown = {"sample": None, "sample_problem": exc.jupyterhub_message}
    if visit.htmx:
        return fragment(visit, "parts/preview.html", **shown)
    return await _form_page(visit, filled, asked=asked, shown=shown)


@area.page("POST", "/admin/profiles/edit", needs=WRITE)
async def save(visit: CurrentVisit) -> Response:
    """Save the profile, or delete it (`do=delete`)."""
    form = await form_of(visit)
    filled = _Filled.sent(form)
    delete = form.one("do") == "delete"
    expected: int | None = None
    try:
        expected = version_typed(form)
        async with visit.portal.database.session() as session:
            menu = await menu_of(session, visit.portal.deployment)
            if delete:
                menu = menu_changes.without_profile(menu, filled.typed["old"])
            else:
                profile, place = read_profile(form, menu)
                menu = menu_changes.with_profile(menu, filled.typed["old"], profile, place)
            await menu_changes.save(session, visit.actor, menu, expected=expected)
    except PetriHubError as exc:
        return await _form_page(visit, filled, expected=expected, error=exc)
    done = "deleted" if delete else "saved. It counts from the next start"
    return go(visit, PLACE, said=f"The profile {filled.typed['title']} is {done}.")


async def _form_page(
    visit: Visit,
    filled: _Filled,
    *,
    asked: Asked | None = None,
    shown: dict[str, Any] | None = None,
    expected: int | None = None,
    error: PetriHubError | None = None,
) -> Response:
    async with visit.portal.database.reading() as session:
        look = await look_at_menu(session, visit.portal.deployment)
    return await page(
        visit,
        "profile_edit.html",
        status=error.status if error else 200,
        look=look,
        menu=look.menu,
        filled=filled,
        typed=filled.typed,
        # what somebody else saved in between must not look like what this form was made from
        version=look.menu.version if expected is None else expected,
        asked=asked or Asked(profile=filled.typed["id"]),
        **(shown or {"sample": None, "sample_problem": ""}),
        every_app=EVERY_APP,
        may_write=visit.may(WRITE),
        error=error.jupyterhub_message if error else "",
    )
