"""What every page says and an administrator may change at any time: name, banner, announcements.

The portal reads it for each page. The hub's pages are rendered where nothing may wait for a
database, so there `Live` keeps the words of some seconds ago at hand; so it does for the pages with
which the portal says that the database does not answer.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import settings
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.full_disk import is_full
from petrihub_core.logs import get_logger
from petrihub_core.maintenance import Banner, banner
from petrihub_core.menu import menu_in_file, menu_of
from petrihub_core.records import Announcement, Picture, now
from petrihub_core.settings.pages import MaintenanceSettings, SiteSettings
from petrihub_core.web.words import menu_titles

log = get_logger(__name__)

_FRESH_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Words:
    """What the frame says, under the names that the templates use without `ph_`."""

    site: str
    contact: str = ""
    accent: str = ""  # as #rrggbb; empty: ours
    logo: Picture | None = None  # None: ours
    announcements: tuple[Announcement, ...] = ()
    maintenance: Banner | None = None
    profiles: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, str] = field(default_factory=dict)
    disk_full: bool = False

    def template_vars(self) -> dict[str, Any]:
        """The values under the templates' names."""
        return {f"ph_{name}": getattr(self, name) for name in _NAMES}


_NAMES = tuple(each.name for each in fields(Words))


async def _read_words(session: AsyncSession, deployment: Deployment, at: datetime) -> Words:
    """The words of this moment."""
    site = await settings.read(session, SiteSettings)
    shown = await session.scalars(
        select(Announcement)
        .where(
            Announcement.starts_at <= at,
            or_(Announcement.ends_at.is_(None), Announcement.ends_at > at),
        )
        .order_by(Announcement.starts_at.desc(), Announcement.id)
    )
    profiles, sizes = menu_titles(await menu_of(session, deployment))
    return Words(
        site=site.name or deployment.name,
        contact=site.contact,
        accent=site.accent,
        logo=await session.get(Picture, site.logo) if site.logo else None,
        announcements=tuple(shown),
        maintenance=banner(await settings.read(session, MaintenanceSettings), at),
        profiles=profiles,
        sizes=sizes,
        disk_full=is_full(deployment.database_url),
    )


class Live:
    """The words as they were last read; for the hub's own pages every five seconds on its loop."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        profiles, sizes = menu_titles(menu_in_file(deployment))
        self.words = Words(site=deployment.name, profiles=profiles, sizes=sizes)
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin to read on the running loop; does nothing if it has begun, or without a loop.

        A page that is rendered later begins it then.
        """
        if self._task is None:
            with suppress(RuntimeError):
                loop = asyncio.get_running_loop()
                self._task = loop.create_task(self._keep_fresh())

    async def read(self, session: AsyncSession) -> Words:
        """The words of this moment."""
        self.words = await _read_words(session, self._deployment, now())
        return self.words

    async def end(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def template_vars(self) -> dict[str, Callable[[Any], Any]]:
        """Rows for `JupyterHub.template_vars`, which calls them with the user for every page."""

        def teller(name: str) -> Callable[[Any], Any]:
            def tell(_user: object) -> Any:
                self.begin()
                return getattr(self.words, name)

            return tell

        return {f"ph_{name}": teller(name) for name in _NAMES}

    async def _keep_fresh(self) -> None:
        async with Database.open(self._deployment.database_url) as database:
            while True:
                try:
                    async with database.reading() as session:
                        await self.read(session)
                except Exception:
                    # whatever it was: the pages go on with what was last known, and we try again
                    log.warning("the words of the pages cannot be read", exc_info=True)
                await asyncio.sleep(_FRESH_SECONDS)
