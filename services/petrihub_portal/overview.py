"""The first page of the admin panel: what is still to be set up, and what is going on.

Everything is read from what really is there; nobody ticks anything off by hand. Each part is shown
to those only who may see what it speaks of.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import settings
from petrihub_core.addresses import TRUSTED_ONLY
from petrihub_core.errors import PetriHubError
from petrihub_core.menu import MenuSettings
from petrihub_core.records import Group, Person, Request, now
from petrihub_core.roles import Permission
from petrihub_core.settings.pages import SignInSettings, SiteSettings
from petrihub_core.settings.store import version_of
from petrihub_portal import directory
from petrihub_portal.certificate_store import CertificateSettings
from petrihub_portal.health import newest_backup
from petrihub_portal.running import all_running
from petrihub_portal.visit import Visit

_BACKUP_IS_NEW = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to set up; `path` leads to where it is done, below the portal."""

    title: str
    words: str
    done: bool
    path: str
    action: str


@dataclass(frozen=True, kw_only=True)
class Counter:
    """One number with the page that it is taken from; None if it cannot be told now."""

    title: str
    value: int | None
    path: str


async def steps(visit: Visit) -> list[Step]:
    """The checklist, in the order in which one would go through it."""
    found: list[Step] = []
    async with visit.portal.database.reading() as session:
        if visit.may(Permission.SETTINGS_READ):
            found.extend(await _settings_steps(visit, session))
        if visit.may(Permission.PEOPLE_READ):
            found.append(await _people_step(session))
        if visit.may(Permission.PROFILES_READ):
            edited = await version_of(session, MenuSettings) > 0
            found.append(
                Step(
                    title="Profiles and sizes",
                    words="Your own kinds of workspaces are set."
                    if edited
                    else "What people may start comes from petrihub.toml. Look whether sizes and "
                    "apps fit your machine and your people.",
                    done=edited,
                    path="admin/profiles",
                    action="Look at the profiles",
                )
            )
    if visit.may(Permission.HEALTH_READ):
        found.append(await _backup_step(visit))
    return found


async def _settings_steps(visit: Visit, session: AsyncSession) -> list[Step]:
    certificate = await settings.read(session, CertificateSettings)
    secured = certificate.kind != "none"
    shared = secured and not visit.portal.deployment.front.origins
    site = await settings.read(session, SiteSettings)
    signed = await version_of(session, SignInSettings) > 0
    return [
        Step(
            title="Domain and TLS",
            words=f"A certificate is in use. {TRUSTED_ONLY} Set front.subdomains = true for others."
            if shared
            else "A certificate is in use."
            if secured
            else "Without a certificate, passwords cross the network in the clear. Get one from "
            "an authority, upload one, or make one yourself.",
            done=secured and not shared,
            path="admin/tls",
            action="Set up TLS",
        ),
        Step(
            title="Name and contact",
            words=f"This site is called {site.name or 'PetriHub'}; people ask {site.contact}."
            if site.contact
            else "Say how the site is called and whom people ask when something is not allowed.",
            done=bool(site.contact),
            path=f"admin/settings/{SiteSettings.page}",
            action="Name the site",
        ),
        Step(
            title="Sign-in",
            words="You have decided how people sign in."
            if signed
            else "People sign in with a name and a password kept here. Look at the rules for it.",
            done=signed,
            path=f"admin/settings/{SignInSettings.page}",
            action="Look at sign-in",
        ),
    ]


async def _people_step(session: AsyncSession) -> Step:
    people = await session.scalar(select(func.count()).select_from(Person)) or 0
    invited = (await directory.invitations(session, limit=1, offset=0)).total
    done = people > 1 or invited > 0
    return Step(
        title="People",
        words="You are not alone here any more."
        if done
        else "You are the only one here so far. Invite a colleague, or a whole list from a file.",
        done=done,
        path="admin/people",
        action="Invite people",
    )


async def _backup_step(visit: Visit) -> Step:
    made = await asyncio.to_thread(newest_backup, visit.portal)
    done = made is not None and now() - made < _BACKUP_IS_NEW
    words = "There is none yet." if made is None else f"The newest is from {made:%Y-%m-%d}."
    return Step(
        title="Backup",
        words=words
        if done
        else f"{words} Run the command petrihub backup on the server every night.",
        done=done,
        path="admin/health",
        action="Look at the health page",
    )


async def counters(visit: Visit) -> list[Counter]:
    """The numbers of this moment."""
    found = []
    async with visit.portal.database.reading() as session:
        for title, needs, query, path in (
            ("Active people", Permission.PEOPLE_READ, _active_people(), "admin/people"),
            ("Groups", Permission.GROUPS_READ, select(func.count(Group.id)), "admin/groups"),
            ("Open requests", Permission.REQUESTS_ANSWER, _open_requests(), "admin/requests"),
        ):
            if visit.may(needs):
                value = await session.scalar(query) or 0
                found.append(Counter(title=title, value=value, path=path))
    if visit.may(Permission.WORKSPACES_READ):
        running: int | None
        try:
            running = len(await all_running(visit.portal))
        except PetriHubError:
            running = None
        found.append(Counter(title="Running workspaces", value=running, path="admin/workspaces"))
    return found


def _active_people() -> Select[int]:
    return select(func.count(Person.id)).where(Person.active)


def _open_requests() -> Select[int]:
    return select(func.count(Request.id)).where(Request.state == "open")
