"""Groups: for administrators, and for who manages one without being an administrator."""

from typing import Any

from fastapi.responses import Response

from petrihub_core import groups
from petrihub_core.errors import NotFound, PetriHubError, Refused
from petrihub_core.groups import GroupSettings
from petrihub_core.menu import menu_of
from petrihub_core.places import Kind, usage
from petrihub_core.records import Group, GroupMember
from petrihub_core.roles import Permission
from petrihub_portal import directory, request_lists
from petrihub_portal.areas.people import page_number
from petrihub_portal.hub_groups import follow
from petrihub_portal.pages import go, page
from petrihub_portal.request_lists import Unanswered
from petrihub_portal.routing import Area, Open
from petrihub_portal.storage import kept_folders, kept_in, shared_problem
from petrihub_portal.visit import CurrentVisit, Form, Visit, form_of

area = Area("Groups")

_PAGE = 50
_PLACE = "admin/groups"
_FIELDS = ("title", "storage_gib", "workspaces_limit", "default_profile", "open_to_requests")


async def check_profile(visit: Visit, profile: str | None) -> None:
    """Raise `Refused` unless the profile is offered here."""
    if profile is None:
        return
    async with visit.portal.database.reading() as session:
        menu = await menu_of(session, visit.portal.deployment)
    if profile not in {each.id for each in menu.profiles}:
        raise Refused(f"There is no profile {profile[:32]!r}.", hint="Choose one from the list.")


def _number(text: str, what: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise Refused(f"The {what} must be a whole number.", hint="Leave it empty for no rule.")
    return int(text)


def _settings(fields: dict[str, str]) -> GroupSettings:
    return GroupSettings(
        title=fields["title"],
        storage_gib=_number(fields["storage_gib"], "storage"),
        workspaces_limit=_number(fields["workspaces_limit"], "number of workspaces"),
        default_profile=fields["default_profile"] or None,
        open_to_requests=fields["open_to_requests"] == "on",
    )


async def _show_list(
    visit: Visit, *, typed: dict[str, str] | None = None, error: PetriHubError | None = None
) -> Response:
    number, search = page_number(visit), visit.request.query_params.get("search", "")
    async with visit.portal.database.reading() as session:
        found = await directory.groups(
            session, search=search, limit=_PAGE, offset=_PAGE * (number - 1)
        )
        left = await kept_folders(session, visit.portal.deployment)
    return await page(
        visit,
        "groups.html",
        status=error.status if error else 200,
        groups=found,
        kept=left,
        kept_in=kept_in(visit.portal.deployment),
        search=search,
        number=number,
        pages=max(1, -(-found.total // _PAGE)),
        typed=typed or {"name": "", "title": ""},
        may_write=visit.may(Permission.GROUPS_WRITE),
        error=error.jupyterhub_message if error else "",
    )


@area.page("GET", "/admin/groups", needs=Permission.GROUPS_READ)
async def list_page(visit: CurrentVisit) -> Response:
    """All groups by title."""
    return await _show_list(visit)


@area.page("POST", "/admin/groups", needs=Permission.GROUPS_WRITE)
async def make(visit: CurrentVisit) -> Response:
    """Make a group."""
    form = await form_of(visit)
    typed = {"name": form.one("name"), "title": form.one("title")}
    try:
        async with visit.portal.database.session() as session:
            group = await groups.make(session, visit.actor, **typed)
    except PetriHubError as exc:
        return await _show_list(visit, typed=typed, error=exc)
    await follow(visit.portal, {group.name})
    return go(visit, f"{_PLACE}/{group.name}", said=f"{group.title} is made. Add its people now.")


async def _show(
    visit: Visit,
    name: str,
    *,
    typed: dict[str, str] | None = None,
    error: PetriHubError | None = None,
) -> Response:
    number = page_number(visit)
    async with visit.portal.database.reading() as session:
        group = await groups.find(session, name)
        found = await directory.members(session, group, limit=_PAGE, offset=_PAGE * (number - 1))
        menu = await menu_of(session, visit.portal.deployment)
        used = await usage(session, Kind.SHARED, group.id)
    may_write = visit.may(Permission.GROUPS_WRITE)
    return await page(
        visit,
        "group.html",
        status=error.status if error else 200,
        group=group,
        members=found,
        used_by_group=used,
        no_folder=shared_problem(visit.portal.deployment),
        number=number,
        pages=max(1, -(-found.total // _PAGE)),
        profiles=menu.profiles,
        fields=typed or {field: _text(getattr(group, field)) for field in _FIELDS},
        may_write=may_write,
        may_change_members=may_write,
        may_make_managers=may_write,
        place=f"{_PLACE}/{group.name}",
        error=error.jupyterhub_message if error else "",
    )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else ""
    return "" if value is None else str(value)


@area.page("GET", "/admin/groups/{name}", needs=Permission.GROUPS_READ)
async def show(visit: CurrentVisit, name: str) -> Response:
    """One group: members and rules."""
    return await _show(visit, name)


@area.page("POST", "/admin/groups/{name}", needs=Permission.GROUPS_WRITE)
async def change(visit: CurrentVisit, name: str) -> Response:
    """Save the group's rules."""
    form = await form_of(visit)
    fields = {field: form.one(field) for field in _FIELDS}
    try:
        wanted = _settings(fields)
        await check_profile(visit, wanted.default_profile)
        async with visit.portal.database.session() as session:
            group = await groups.change(session, visit.actor, name, wanted)
    except PetriHubError as exc:
        return await _show(visit, name, typed=fields, error=exc)
    return go(visit, f"{_PLACE}/{name}", said=f"{group.title} is saved.")


@area.page("GET", "/admin/groups/{name}/delete", needs=Permission.GROUPS_WRITE)
async def ask_delete(visit: CurrentVisit, name: str) -> Response:
    """Say what happens before it does."""
    async with visit.portal.database.reading() as session:
        line = await directory.one_group(session, await groups.find(session, name))
    has_folder = not shared_problem(visit.portal.deployment)
    return await page(
        visit, "group_delete.html", line=line, group=line.group, has_folder=has_folder
    )


@area.page("POST", "/admin/groups/{name}/delete", needs=Permission.GROUPS_WRITE)
async def delete(visit: CurrentVisit, name: str) -> Response:
    """Delete the group; its members stay people, and the files of its folder are kept."""
    async with visit.portal.database.session() as session:
        await groups.delete_group(session, visit.actor, name)
    await follow(visit.portal, {name})
    said = f"The group {name} is deleted. Its people are still here."
    if not shared_problem(visit.portal.deployment):
        said = f"{said} The files of its folder are kept."
    return go(visit, _PLACE, said=said)


async def _members_changed(
    visit: Visit, name: str, deed: str, form: Form, *, own: bool
) -> Response:
    """Add, remove, promote or demote a member, then come back to where the visitor was."""
    who = form.one("person")
    try:
        async with visit.portal.database.session() as session:
            if deed == "add":
                person = await groups.add_member(session, visit.actor, name, who)
                said = f"{person.username} is in the group now."
            elif deed == "remove":
                person = await groups.remove_member(session, visit.actor, name, who)
                said = f"{person.username} is not in the group any more."
            else:
                manager = deed == "manager"
                person = await groups.set_manager(session, visit.actor, name, who, manager=manager)
                said = f"{person.username} {'manages' if manager else 'no longer manages'} it."
    except PetriHubError as exc:
        shown = show_own if own else _show
        return await shown(visit, name, error=exc)
    await follow(visit.portal, {name})
    left = own and person.id == visit.me.id
    return go(visit, "groups" if left else f"{'groups' if own else _PLACE}/{name}", said=said)


@area.page("POST", "/admin/groups/{name}/members", needs=Permission.GROUPS_WRITE)
async def add_member(visit: CurrentVisit, name: str) -> Response:
    """Put somebody into the group."""
    return await _members_changed(visit, name, "add", await form_of(visit), own=False)


@area.page("POST", "/admin/groups/{name}/members/remove", needs=Permission.GROUPS_WRITE)
async def remove_member(visit: CurrentVisit, name: str) -> Response:
    """Take somebody out of the group."""
    return await _members_changed(visit, name, "remove", await form_of(visit), own=False)


@area.page("POST", "/admin/groups/{name}/members/manager", needs=Permission.GROUPS_WRITE)
async def set_manager(visit: CurrentVisit, name: str) -> Response:
    """Let a member manage the group, or end that."""
    form = await form_of(visit)
    deed = "manager" if form.one("manager") == "yes" else "member"
    return await _members_changed(visit, name, deed, form, own=False)


# --- one's own groups ---------------------------------------------------------------------


@area.page("GET", "/groups", needs=Open.SIGNED_IN)
async def own_list(visit: CurrentVisit) -> Response:
    """The groups that the visitor is in."""
    async with visit.portal.database.reading() as session:
        mine = await directory.groups_of(session, visit.me.id)
    return await page(visit, "my_groups.html", groups=mine)


async def require_own(visit: Visit, name: str) -> tuple[Group, bool]:
    """A group of the visitor's, and whether they manage it; `NotFound` to everybody else."""
    async with visit.portal.database.reading() as session:
        group = await groups.find(session, name)
        member = await session.get(GroupMember, (group.id, visit.me.id))
    if member is None:
        raise NotFound("There is no such group.", hint="Look at the list of your groups again.")
    return group, member.manager


async def show_own(
    visit: Visit,
    name: str,
    *,
    error: PetriHubError | None = None,
    problem: Unanswered | None = None,
) -> Response:
    """One of the visitor's groups; `problem` is with an answer, `error` with anything else."""
    problem = problem or Unanswered()
    group, manager = await require_own(visit, name)
    number = page_number(visit)
    async with visit.portal.database.reading() as session:
        found = await directory.members(session, group, limit=_PAGE, offset=_PAGE * (number - 1))
        used = await usage(session, Kind.SHARED, group.id)
        waiting = await request_lists.for_group(visit, session, group.name) if manager else []
    values: dict[str, Any] = {
        "group": group,
        "manager": manager,
        "members": found,
        "used_by_group": used,
        "no_folder": shared_problem(visit.portal.deployment),
        "number": number,
        "pages": max(1, -(-found.total // _PAGE)),
        "may_change_members": manager,
        "may_make_managers": False,
        "place": f"groups/{group.name}",
        "waiting": waiting,
        "problem": problem,
    }
    return await page(
        visit,
        "my_group.html",
        status=error.status if error else problem.status,
        error=error.jupyterhub_message if error else problem.elsewhere(waiting),
        **values,
    )


@area.page("GET", "/groups/{name}", needs=Open.SIGNED_IN)
async def own_group(visit: CurrentVisit, name: str) -> Response:
    """One of the visitor's groups."""
    return await show_own(visit, name)


@area.page("POST", "/groups/{name}/members", needs=Open.SIGNED_IN)
async def own_add(visit: CurrentVisit, name: str) -> Response:
    """As who manages the group: put somebody into it."""
    await require_own(visit, name)
    return await _members_changed(visit, name, "add", await form_of(visit), own=True)


@area.page("POST", "/groups/{name}/members/remove", needs=Open.SIGNED_IN)
async def own_remove(visit: CurrentVisit, name: str) -> Response:
    """As who manages the group: take somebody out. Everybody may take out themselves."""
    await require_own(visit, name)
    return await _members_changed(visit, name, "remove", await form_of(visit), own=True)
