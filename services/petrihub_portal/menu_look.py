"""What the page Profiles shows and chooses from: the menu, known apps, images, groups."""

import asyncio
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.apps import catalog_apps
from petrihub_core.deployment import Deployment
from petrihub_core.images import allowed_images
from petrihub_core.menu import Menu, group_titles, menu_in_file, menu_of
from petrihub_core.tools import KIND_LABEL, SIDECAR_KIND
from petrihub_portal.menu_changes import saved
from petrihub_spawner.foundation import SHIPPED_APPS


@dataclass(frozen=True, kw_only=True)
class MenuLook:
    """A menu; `apps` are titles of all known apps by id, `titles` those of the named groups."""

    menu: Menu
    apps: dict[str, str]
    images: tuple[str, ...]
    titles: dict[str, str]

    @property
    def missing(self) -> list[str]:
        """Groups that rules name and that there are no longer: nobody gets in by them."""
        return sorted(self.menu.group_names() - set(self.titles))


async def look_at_menu(
    session: AsyncSession, deployment: Deployment, version: int | None = None
) -> MenuLook:
    """The menu in force, or an older version of it; 0 is petrihub.toml's.

    Raises `NotFound` for a version that there is not.
    """
    menu = await menu_of(session, deployment)
    if version is not None:
        menu = await _older(session, deployment, version)
    images = await allowed_images(session)
    apps = {app.id: app.title for app in await asyncio.to_thread(catalog_apps, SHIPPED_APPS)}
    for image in images.values():
        apps.update({app["id"]: app["title"] for app in image.apps})
    # an app whose image is gone keeps its rule
    apps.update({app: app for app in menu.app_groups if app not in apps})
    return MenuLook(
        menu=menu,
        apps=apps,
        images=tuple(
            sorted(
                name
                for name, image in images.items()
                if image.labels.get(KIND_LABEL) != SIDECAR_KIND
            )
        ),
        titles=await group_titles(session, menu.group_names()),
    )


async def _older(session: AsyncSession, deployment: Deployment, version: int) -> Menu:
    if version == 0:
        return menu_in_file(deployment)
    content = await saved(session, version)
    if not content.profiles:
        return menu_in_file(deployment, version)
    return Menu(
        sizes=content.sizes,
        profiles=content.profiles,
        app_groups=content.app_groups,
        version=version,
    )
