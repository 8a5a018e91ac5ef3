"""People, their roles and groups, and invitations: the pages."""

from dataclasses import asdict, dataclass
from typing import Any

from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_authenticators import accounts, links
from petrihub_authenticators.accounts import Newcomer
from petrihub_core import groups
from petrihub_core.errors import PetriHubError
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.records import Person
from petrihub_core.roles import RESEARCHER, ROLES, Permission, permissions_in
from petrihub_portal import directory
from petrihub_portal.directory import PeopleFilter, PersonLine, State
from petrihub_portal.endings import end
from petrihub_portal.hub_groups import follow
from petrihub_portal.pages import go, page
from petrihub_portal.routing import Area
from petrihub_portal.visit import CurrentVisit, Form, Visit, form_of

area = Area("People")

_PAGE = 50
_PLACE = "admin/people"


def public_url(visit: Visit) -> str:
    """Scheme and host as this browser sees them: where links lead that the visitor hands over."""
    url = visit.request.url
    return f"{url.scheme}://{url.netloc}"


async def life_of(session: AsyncSession, kind: links.Kind) -> str:
    """How long a one-time link of this kind works, in words."""
    hours = round((await links.lifetime(session, kind)).total_seconds() / 3600)
    number, unit = (hours, "hour") if hours % 24 or hours == 24 else (hours // 24, "day")
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def page_number(visit: Visit) -> int:
    """The page that the query asks for, from 1."""
    asked = visit.request.query_params.get("page", "1")
    return max(1, int(asked)) if asked.isascii() and asked.isdecimal() and len(asked) < 7 else 1


@dataclass(frozen=True)
class RoleChoice:
    """A role as the form shows it; `why_not` says why the visitor cannot change it."""

    id: str
    title: str
    summary: str
    held: bool
    why_not: str = ""


def role_choices(visit: Visit, held: tuple[str, ...] = ()) -> list[RoleChoice]:
    """All roles, with what the visitor may do about each."""
    choices = []
    for role in ROLES.values():
        why = ""
        if not visit.may(Permission.ROLES_WRITE):
            why = "You may not change roles."
        elif not role.permissions <= visit.actor.permissions:
            why = "It holds more than you do. Ask a super admin."
        choices.append(RoleChoice(role.id, role.title, role.summary, role.id in held, why))
    return choices


async def _show_list(
    visit: Visit, *, typed: Newcomer | None = None, error: PetriHubError | None = None
) -> Response:
    query, number = visit.request.query_params, page_number(visit)
    wanted = PeopleFilter(
        search=query.get("search", ""),
        role=query.get("role", ""),
        group=query.get("group", ""),
        state=query.get("state", ""),
    )
    async with visit.portal.database.reading() as session:
        found = await directory.people(session, wanted, limit=_PAGE, offset=_PAGE * (number - 1))
        invited = await directory.invitations(session, limit=20, offset=0)
        choices = await directory.group_choices(session)
        life = await life_of(session, links.Kind.INVITE)
    filters = {key: value for key, value in asdict(wanted).items() if value}
    return await page(
        visit,
        "people.html",
        status=error.status if error else 200,
        people=found,
        invited=invited,
        filters=filters,
        wanted=wanted,
        number=number,
        pages=max(1, -(-found.total // _PAGE)),
        roles=ROLES,
        role_choices=role_choices(visit),
        groups=choices,
        typed=typed or Newcomer(),
        life=life,
        may_write=visit.may(Permission.PEOPLE_WRITE),
        error=error.jupyterhub_message if error else "",
    )


@area.page("GET", "/admin/people", needs=Permission.PEOPLE_READ)
async def list_page(visit: CurrentVisit) -> Response:
    """Everybody, a page at a time, with search and filters."""
    return await _show_list(visit)


@area.page("POST", "/admin/people", needs=Permission.PEOPLE_WRITE)
async def add(visit: CurrentVisit) -> Response:
    """Make an invitation, with an account at once if a name is given."""
    form = await form_of(visit)
    who = Newcomer(
        name=form.one("name"),
        email=form.one("email"),
        role=form.one("role") or RESEARCHER,
        groups=tuple(form.many("groups")),
    )
    try:
        async with visit.portal.database.session() as session:
            code = await accounts.add(session, visit.actor, who)
            life = await life_of(session, links.Kind.INVITE)
    except PetriHubError as exc:
        return await _show_list(visit, typed=who, error=exc)
    if who.name:
        await follow(visit.portal, set(who.groups))
    whom = who.name or who.email or "one person"
    said = f"Give this link to {whom[:64]} in private. It works once, for {life}."
    return go(visit, _PLACE, said=said, link=links.address_of(public_url(visit), code))


@area.page("POST", "/admin/invitations/{link_id}/withdraw", needs=Permission.PEOPLE_WRITE)
async def withdraw(visit: CurrentVisit, link_id: str) -> Response:
    """Close an open invitation."""
    async with visit.portal.database.session() as session:
        await accounts.withdraw(session, visit.actor, link_id)
    return go(visit, _PLACE, said="The invitation was withdrawn; its link does not work any more.")


async def _line(session: AsyncSession, name: str) -> PersonLine:
    return await directory.one_person(session, await accounts.find(session, name))


def _link_kind(line: PersonLine) -> links.Kind:
    return links.Kind.INVITE if line.state is State.INVITED else links.Kind.RESET


async def _running(visit: Visit, name: str) -> list[dict[str, Any]] | None:
    """What runs of this person; None if the visitor may not see it or the hub does not say."""
    if not visit.may(Permission.WORKSPACES_READ):
        return None
    try:
        model = await visit.portal.hub.call("GET", "users", name)
    except PetriHubError:
        return []
    return [server for server in model["servers"].values() if server["ready"] or server["pending"]]


async def _show(visit: Visit, name: str, *, error: PetriHubError | None = None) -> Response:
    async with visit.portal.database.reading() as session:
        line = await _line(session, name)
        choices = await directory.group_choices(session)
        life = await life_of(session, _link_kind(line))
    reach = permissions_in(line.roles) <= visit.actor.permissions
    return await page(
        visit,
        "person.html",
        status=error.status if error else 200,
        line=line,
        person=line.person,
        own=line.person.id == visit.me.id,
        local=line.person.issuer == LOCAL_ISSUER,
        may_write=visit.may(Permission.PEOPLE_WRITE) and reach,
        may_roles=visit.may(Permission.ROLES_WRITE) and reach,
        may_groups=visit.may(Permission.GROUPS_WRITE),
        reach=reach,
        roles=ROLES,
        role_choices=role_choices(visit, line.roles),
        groups=choices,
        life=life,
        running=await _running(visit, line.person.username),
        error=error.jupyterhub_message if error else "",
    )


@area.page("GET", "/admin/people/{name}", needs=Permission.PEOPLE_READ)
async def show(visit: CurrentVisit, name: str) -> Response:
    """One person and what can be done."""
    return await _show(visit, name)


@area.page("POST", "/admin/people/{name}/email", needs=Permission.PEOPLE_WRITE)
async def set_email(visit: CurrentVisit, name: str) -> Response:
    """Write down another e-mail address."""
    email = (await form_of(visit)).one("email")
    try:
        async with visit.portal.database.session() as session:
            person = await accounts.set_email(session, visit.actor, name, email)
    except PetriHubError as exc:
        return await _show(visit, name, error=exc)
    return _back(visit, person, "The e-mail address is saved.")


def _wanted_roles(form: Form, line: PersonLine, visit: Visit) -> list[str]:
    # a browser does not send a box that is disabled: what it stands for stays as it is
    fixed = {each.id for each in role_choices(visit) if each.why_not} | (
        set(line.roles) - set(ROLES)
    )
    return sorted((set(form.many("roles")) - fixed) | (set(line.roles) & fixed))


@area.page("POST", "/admin/people/{name}/roles", needs=Permission.ROLES_WRITE)
async def set_roles(visit: CurrentVisit, name: str) -> Response:
    """Give exactly the roles whose boxes are ticked."""
    form = await form_of(visit)
    try:
        async with visit.portal.database.session() as session:
            wanted = _wanted_roles(form, await _line(session, name), visit)
            person = await accounts.change_roles(session, visit.actor, name, wanted)
    except PetriHubError as exc:
        return await _show(visit, name, error=exc)
    return _back(visit, person, f"The roles of {person.username} are saved.")


@area.page("POST", "/admin/people/{name}/groups", needs=Permission.GROUPS_WRITE)
async def set_groups(visit: CurrentVisit, name: str) -> Response:
    """Make the person a member of exactly the groups whose boxes are ticked."""
    wanted = (await form_of(visit)).many("groups")
    try:
        async with visit.portal.database.session() as session:
            person = await accounts.find(session, name)
            changed = await groups.set_groups(session, visit.actor, person, wanted)
    except PetriHubError as exc:
        return await _show(visit, name, error=exc)
    await follow(visit.portal, changed)
    return _back(visit, person, f"The groups of {person.username} are saved.")


@area.page("POST", "/admin/people/{name}/link", needs=Permission.PEOPLE_WRITE)
async def new_link(visit: CurrentVisit, name: str) -> Response:
    """Make a link with which the person sets a password."""
    try:
        async with visit.portal.database.session() as session:
            code = await accounts.new_link(session, visit.actor, name)
            line = await _line(session, name)
            life = await life_of(session, _link_kind(line))
    except PetriHubError as exc:
        return await _show(visit, name, error=exc)
    said = f"Give this link to {line.person.username} in private. It works once, for {life}."
    link = links.address_of(public_url(visit), code)
    return go(visit, f"{_PLACE}/{line.person.username}", said=said, link=link)


@area.page("GET", "/admin/people/{name}/deactivate", needs=Permission.PEOPLE_WRITE)
async def ask_deactivate(visit: CurrentVisit, name: str) -> Response:
    """Say what happens before it does."""
    async with visit.portal.database.reading() as session:
        line = await _line(session, name)
    running = await _running(visit, line.person.username)
    return await page(visit, "person_deactivate.html", person=line.person, running=running)


@area.page("POST", "/admin/people/{name}/deactivate", needs=Permission.PEOPLE_WRITE)
async def deactivate(visit: CurrentVisit, name: str) -> Response:
    """Shut the person out, then end what they hold at the hub."""
    try:
        async with visit.portal.database.session() as session:
            person = await accounts.deactivate(session, visit.actor, name)
    except PetriHubError as exc:
        return await _show(visit, name, error=exc)
    if await end(visit.portal, person.id, person.username, visit.actor.name):
        return _back(visit, person, f"{person.username} is deactivated and signed out everywhere.")
    said = (
        f"{person.username} is deactivated. The hub does not answer now: their workspaces and "
        "access tokens end as soon as it does."
    )
    return _back(visit, person, said)


@area.page("POST", "/admin/people/{name}/activate", needs=Permission.PEOPLE_WRITE)
async def activate(visit: CurrentVisit, name: str) -> Response:
    """Let the person in again."""
    try:
        async with visit.portal.database.session() as session:
            person = await accounts.activate(session, visit.actor, name)
    except PetriHubError as exc:
        return await _show(visit, name, error=exc)
    return _back(visit, person, f"{person.username} may sign in again.")


def _back(visit: Visit, person: Person, said: str) -> Response:
    return go(visit, f"{_PLACE}/{person.username}", said=said)
