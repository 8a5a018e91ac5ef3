"""What every page is rendered with: who looks, navigation, announcements, notices."""

from dataclasses import dataclass
from typing import Any

from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import func, select

from petrihub_core.errors import Unavailable
from petrihub_core.records import Notification
from petrihub_core.roles import Permission
from petrihub_portal.visit import Visit

_NOTICE_COOKIE = "petrihub-said"
_NOTICE = "notice"
_NOTICE_SECONDS = 300


@dataclass(frozen=True)
class Entry:
    """One entry of the admin panel's menu, shown to whoever has one of the permissions."""

    path: str
    title: str
    icon: str
    needs: tuple[Permission, ...]


# an entry is added together with its page: nobody is shown a door without a room
PANEL: tuple[Entry, ...] = (
    Entry("admin", "Overview", "home", tuple(Permission)),
    Entry("admin/people", "People", "person", (Permission.PEOPLE_READ,)),
    Entry("admin/groups", "Groups", "people", (Permission.GROUPS_READ,)),
    Entry("admin/requests", "Requests", "ask", (Permission.REQUESTS_ANSWER,)),
    Entry("admin/profiles", "Profiles", "grid", (Permission.PROFILES_READ,)),
    Entry(
        "admin/workspaces",
        "Workspaces",
        "screen",
        (Permission.WORKSPACES_READ, Permission.MACHINES_READ),
    ),
    Entry("admin/announcements", "Announcements", "bell", (Permission.ANNOUNCE,)),
    Entry("admin/maintenance", "Maintenance", "clock", (Permission.MAINTENANCE,)),
    Entry("admin/settings", "Settings", "gear", (Permission.SETTINGS_READ,)),
    Entry("admin/tls", "TLS", "lock", (Permission.SETTINGS_READ,)),
    Entry("admin/audit", "Audit", "ledger", (Permission.AUDIT_READ,)),
    Entry("admin/health", "Health", "pulse", (Permission.HEALTH_READ,)),
)


def panel_of(visit: Visit) -> list[Entry]:
    """The menu as this person may see it."""
    return [each for each in PANEL if any(visit.may(need) for need in each.needs)]


async def _frame(visit: Visit) -> dict[str, Any]:
    try:
        return await _frame_now(visit)
    except Unavailable:
        # the page that says so has a frame too, with the words that were there before
        return {**visit.portal.live.words.template_vars(), "ph_unread": 0}


async def _frame_now(visit: Visit) -> dict[str, Any]:
    async with visit.portal.database.reading() as session:
        words = await visit.portal.live.read(session)
        unread = 0
        if visit.person is not None:
            unread = (
                await session.scalar(
                    select(func.count())
                    .select_from(Notification)
                    .where(
                        Notification.person_id == visit.person.id, Notification.read_at.is_(None)
                    )
                )
                or 0
            )
        return {**words.template_vars(), "ph_unread": unread}


async def page(visit: Visit, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A whole page in the frame; a notice that waits is shown and forgotten."""
    panel = panel_of(visit)
    notice = _waiting_notice(visit)
    frame = await _frame(visit)
    answer = visit.portal.render.html(
        template,
        {
            "visit": visit,
            "user": visit.person and {"name": visit.person.username},
            "ph_may_administer": bool(panel),
            "xsrf_token": visit.xsrf,
            "ph_panel": panel,
            "ph_path": visit.request.url.path,
            "notice": notice,
            "error": "",
            **frame,
            **values,
        },
        status,
    )
    if notice is not None:
        visit.cookies.delete(answer, _NOTICE_COOKIE)
    return answer


def fragment(visit: Visit, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A part of a page, for htmx to put in place."""
    return visit.portal.render.html(
        template, {"visit": visit, "xsrf_token": visit.xsrf, **values}, status
    )


def go(
    visit: Visit,
    path: str,
    *,
    said: str = "",
    link: str = "",
    link_label: str = "One-time link",
    kind: str = "good",
) -> Response:
    """Lead to `path` below the portal after a change, and say there what was done.

    `link` is a one-time link, or a token, that the next page shows once under `link_label`.
    """
    where = visit.portal.prefix + path.lstrip("/")
    answer: Response
    if visit.htmx:
        answer = Response(status_code=204, headers={"HX-Redirect": where})
    else:
        answer = RedirectResponse(where, status_code=303)
    if said:
        shown = {"text": said, "link": link, "link_label": link_label, "kind": kind}
        sealed = visit.portal.sealer.seal(_NOTICE, {"for": visit.actor.name, **shown})
        visit.cookies.set(
            answer, _NOTICE_COOKIE, sealed, seconds=_NOTICE_SECONDS, samesite="strict"
        )
    return answer


def _waiting_notice(visit: Visit) -> dict[str, Any] | None:
    held = visit.portal.sealer.open(
        _NOTICE, visit.cookies.get(_NOTICE_COOKIE), max_age_s=_NOTICE_SECONDS
    )
    return held if held and held["for"] == visit.actor.name else None
