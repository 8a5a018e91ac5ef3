"""The menu by REST: read, save, versions, preview."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select

from petrihub_core import settings
from petrihub_core.deployment import GroupNames, Profile, Size
from petrihub_core.errors import Refused
from petrihub_core.menu import AppId, Menu, MenuSettings, menu_of
from petrihub_core.records import SettingsVersion
from petrihub_core.roles import Permission
from petrihub_portal import menu_changes, previews
from petrihub_portal.menu_look import look_at_menu
from petrihub_portal.previews import Asked
from petrihub_portal.routing import Area
from petrihub_portal.visit import CurrentVisit

area = Area("Profiles")
READ, WRITE = Permission.PROFILES_READ, Permission.PROFILES_WRITE
_BODY = 512 * 1024  # bytes: a menu with a hundred profiles

Version = Annotated[int, Field(ge=0, le=2**31 - 1)]


class MenuContent(BaseModel):
    """Profiles in the order of the start page, their sizes, and apps that are for groups only."""

    model_config = ConfigDict(extra="forbid")

    sizes: tuple[Size, ...] = Field(min_length=1, max_length=50)
    profiles: tuple[Profile, ...] = Field(min_length=1, max_length=100)
    app_groups: dict[AppId, GroupNames] = Field(default_factory=dict, max_length=200)

    def menu(self) -> Menu:
        """The same as a menu; raises `Refused` if its parts do not fit together."""
        menu = Menu(sizes=self.sizes, profiles=self.profiles, app_groups=self.app_groups)
        menu_changes.as_settings(menu)
        return menu


class MenuModel(MenuContent):
    """A menu and its version; 0 is petrihub.toml's."""

    version: int


class MenuBody(MenuContent):
    """The menu to save; `expected` is the version that it was made from."""

    expected: Version


class VersionModel(BaseModel):
    """Who saved the menu when."""

    version: int
    by: str
    at: datetime


class VersionList(BaseModel):
    """The newest first."""

    items: list[VersionModel]
    total: int


class PutBackBody(BaseModel):
    """`expected` is the version that is in force as far as the caller knows."""

    model_config = ConfigDict(extra="forbid")

    expected: Version


class PreviewBody(MenuContent):
    """A menu, saved or not, and what to show of it; empty: the first size, for yourself."""

    profile: str = Field(min_length=1, max_length=64)
    size: str = Field("", max_length=64)
    person: str = Field("", max_length=64)


class FactModel(BaseModel):
    """One property of what would run."""

    name: str
    lines: list[str]


class BackendPreview(BaseModel):
    """What one backend would run; `problem` says why it cannot."""

    backend: Literal["docker", "local"]
    here: bool
    problem: str
    facts: list[FactModel]


class PreviewModel(BaseModel):
    """For whom, in which size, and on each backend what; `refusal`: they could not start it."""

    person: str
    size: str
    refusal: str
    previews: list[BackendPreview]


def _model(menu: Menu) -> MenuModel:
    return MenuModel(
        sizes=menu.sizes,
        profiles=menu.profiles,
        app_groups=dict(menu.app_groups),
        version=menu.version,
    )


@area.api("GET", "/menu", needs=READ)
async def read_api(visit: CurrentVisit) -> MenuModel:
    """The menu in force."""
    async with visit.portal.database.reading() as session:
        return _model(await menu_of(session, visit.portal.deployment))


@area.api("PUT", "/menu", needs=WRITE, max_body=_BODY)
async def save_api(visit: CurrentVisit, body: MenuBody) -> MenuModel:
    """Save the menu as a new version; it counts from the next start on."""
    async with visit.portal.database.session() as session:
        await menu_changes.save(session, visit.actor, body.menu(), expected=body.expected)
        return _model(await menu_of(session, visit.portal.deployment))


@area.api("GET", "/menu/versions", needs=READ)
async def versions_api(
    visit: CurrentVisit,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> VersionList:
    """Who saved the menu when; the newest first."""
    async with visit.portal.database.reading() as session:
        rows = await settings.history(session, MenuSettings.page, limit=limit + offset)
        total = await session.scalar(
            select(func.count())
            .select_from(SettingsVersion)
            .where(SettingsVersion.page == MenuSettings.page)
        )
    items = [VersionModel(version=row.version, by=row.by, at=row.at) for row in rows[offset:]]
    return VersionList(items=items, total=total or 0)


@area.api("GET", "/menu/versions/{version}", needs=READ)
async def version_api(
    visit: CurrentVisit, version: Annotated[int, Path(ge=0, le=2**31 - 1)]
) -> MenuModel:
    """The menu as it was in this version; 0 is petrihub.toml's."""
    async with visit.portal.database.reading() as session:
        look = await look_at_menu(session, visit.portal.deployment, version)
    return _model(look.menu)


@area.api("POST", "/menu/versions/{version}/put-back", needs=WRITE)
async def put_back_api(
    visit: CurrentVisit, version: Annotated[int, Path(ge=0, le=2**31 - 1)], body: PutBackBody
) -> MenuModel:
    """Save an older version's content as the newest one."""
    async with visit.portal.database.session() as session:
        await menu_changes.put_back(session, visit.actor, version, expected=body.expected)
        return _model(await menu_of(session, visit.portal.deployment))


@area.api("POST", "/menu/preview", needs=READ, max_body=_BODY)
async def preview_api(visit: CurrentVisit, body: PreviewBody) -> PreviewModel:
    """What a profile of this menu would run on each backend; nothing is saved or started."""
    menu = body.menu()
    if menu.profile(body.profile) is None:
        raise Refused("The menu has no such profile.", hint="Name one of its profiles.")
    asked = Asked(profile=body.profile, size=body.size, person=body.person)
    async with visit.portal.database.reading() as session:
        sample = await previews.preview(session, visit.portal.deployment, visit.actor, menu, asked)
    return PreviewModel(
        person=sample.person,
        size=sample.size,
        refusal=sample.refusal,
        previews=[
            BackendPreview(
                backend=each.backend,
                here=each.here,
                problem=each.problem,
                facts=[FactModel(name=fact.name, lines=list(fact.lines)) for fact in each.facts],
            )
            for each in sample.previews
        ],
    )
