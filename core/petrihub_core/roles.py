"""Who may do what: permissions, the roles that bundle them, and the rule for granting.

Deny by default: an unknown role carries nothing. Nobody grants, or takes away, or acts on somebody
who holds, more than they hold themselves.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit
from petrihub_core.errors import Conflict, NotAllowed, Refused
from petrihub_core.records import Person, RoleGrant


class Permission(StrEnum):
    """One thing that a person may do beyond their own workspaces."""

    PEOPLE_READ = "people:read"
    PEOPLE_WRITE = "people:write"
    ROLES_WRITE = "roles:write"
    GROUPS_READ = "groups:read"
    GROUPS_WRITE = "groups:write"
    REQUESTS_ANSWER = "requests:answer"
    PROFILES_READ = "profiles:read"
    PROFILES_WRITE = "profiles:write"
    PUBLIC_WRITE = "public:write"
    WORKSPACES_READ = "workspaces:read"
    WORKSPACES_STOP = "workspaces:stop"
    MACHINES_READ = "machines:read"
    ANNOUNCE = "announcements:write"
    MAINTENANCE = "maintenance:write"
    SETTINGS_READ = "settings:read"
    SETTINGS_WRITE = "settings:write"
    AUDIT_READ = "audit:read"
    HEALTH_READ = "health:read"
    DIAGNOSTICS = "diagnostics:read"


P = Permission
_POSTGRES_LOCK = 0x726F6C65  # any number, the same for all who change roles


@dataclass(frozen=True)
class Role:
    """A bundle of permissions with its words."""

    id: str
    title: str
    summary: str
    permissions: frozenset[Permission]


SUPER_ADMIN = "super-admin"
RESEARCHER = "researcher"  # no grant at all: what everybody is

ROLES: dict[str, Role] = {
    role.id: role
    for role in (
        Role(SUPER_ADMIN, "Super admin", "May do everything here.", frozenset(Permission)),
        Role(
            "user-admin",
            "User admin",
            "Manages people, groups and requests, and stops workspaces.",
            frozenset(
                {
                    P.PEOPLE_READ,
                    P.PEOPLE_WRITE,
                    P.ROLES_WRITE,
                    P.GROUPS_READ,
                    P.GROUPS_WRITE,
                    P.REQUESTS_ANSWER,
                    P.WORKSPACES_READ,
                    P.WORKSPACES_STOP,
                }
            ),
        ),
        Role(
            "content-admin",
            "Content admin",
            "Curates profiles, sizes, apps and the public folder, and writes announcements.",
            frozenset(
                {P.GROUPS_READ, P.PROFILES_READ, P.PROFILES_WRITE, P.PUBLIC_WRITE, P.ANNOUNCE}
            ),
        ),
        Role(
            "technical-admin",
            "Technical admin",
            "Keeps the platform running: settings, TLS, machines, maintenance, health.",
            frozenset(
                {
                    P.PROFILES_READ,
                    P.WORKSPACES_READ,
                    P.WORKSPACES_STOP,
                    P.MACHINES_READ,
                    P.ANNOUNCE,
                    P.MAINTENANCE,
                    P.SETTINGS_READ,
                    P.SETTINGS_WRITE,
                    P.HEALTH_READ,
                    P.DIAGNOSTICS,
                }
            ),
        ),
        Role(
            "auditor",
            "Auditor",
            "Reads the audit trail and how everything is set; changes nothing.",
            frozenset(
                {
                    P.PEOPLE_READ,
                    P.GROUPS_READ,
                    P.PROFILES_READ,
                    P.WORKSPACES_READ,
                    P.SETTINGS_READ,
                    P.AUDIT_READ,
                    P.HEALTH_READ,
                }
            ),
        ),
    )
}


def permissions_in(roles: Iterable[str]) -> frozenset[Permission]:
    """What these roles allow together; a role that we do not know allows nothing."""
    return frozenset().union(*(ROLES[role].permissions for role in roles if role in ROLES))


@dataclass(frozen=True)
class Actor:
    """Who does something, with what they may do at this moment."""

    name: str
    permissions: frozenset[Permission] = frozenset()
    person_id: str = ""

    def require(self, permission: Permission) -> None:
        """Raise `NotAllowed`, with the role to ask for, unless the actor has the permission."""
        if permission in self.permissions:
            return
        titles = [role.title for role in ROLES.values() if permission in role.permissions]
        raise NotAllowed(
            f"This needs one of these roles: {', '.join(titles)}.",
            hint="Ask a super admin if you need something changed.",
        )


async def roles_of(session: AsyncSession, person_id: str) -> list[str]:
    """The person's roles, by name."""
    rows = await session.scalars(
        select(RoleGrant.role).where(RoleGrant.person_id == person_id).order_by(RoleGrant.role)
    )
    return list(rows)


async def permissions_of(session: AsyncSession, person: Person) -> frozenset[Permission]:
    """What the person may do at this moment; nothing if they are not active."""
    return permissions_in(await roles_of(session, person.id)) if person.active else frozenset()


async def in_line(session: AsyncSession, actor: Actor) -> Actor:
    """Wait for everybody else who changes people or roles; the actor with what they may do now.

    Two who take each other's role away at the same moment: the second one finds theirs gone.
    """
    if session.get_bind().dialect.name == "postgresql":
        # SQLite has one writer at a time by nature
        await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
    if not actor.person_id:
        return actor
    person = await session.get(Person, actor.person_id, populate_existing=True)
    held = await permissions_of(session, person) if person else frozenset()
    return replace(actor, permissions=actor.permissions & held)


async def keep_one_super_admin(session: AsyncSession, leaving: Person) -> None:
    """Raise `Conflict` if nobody could do everything any more without `leaving`.

    The caller has waited `in_line`.
    """
    rows = await session.scalars(
        select(Person.id)
        .join(RoleGrant, RoleGrant.person_id == Person.id)
        .where(RoleGrant.role == SUPER_ADMIN, Person.active)
        .limit(2)
    )
    if list(rows) == [leaving.id]:
        raise Conflict(
            f"{leaving.username} is the only super admin.",
            hint="Make somebody else a super admin first.",
        )


async def require_reach(session: AsyncSession, actor: Actor, target: Person) -> None:
    """Raise `NotAllowed` if `target` holds more than the actor."""
    theirs = permissions_in(await roles_of(session, target.id))
    if not theirs <= actor.permissions:
        raise NotAllowed(
            f"{target.username} may do more than you, so you cannot change this account.",
            hint="Ask a super admin.",
        )


def require_grantable(actor: Actor, roles: Iterable[str]) -> None:
    """Raise `Refused` for an unknown role, `NotAllowed` for one that holds more than the actor."""
    for role in roles:
        if role not in ROLES:
            raise Refused(
                f"There is no role {role[:32]!r}.", hint=f"Choose among: {', '.join(ROLES)}."
            )
        if not ROLES[role].permissions <= actor.permissions:
            raise NotAllowed(
                f"The role {ROLES[role].title} holds more than you do.",
                hint="Nobody can grant or take away more than they hold. Ask a super admin.",
            )


async def set_roles(
    session: AsyncSession, actor: Actor, person: Person, roles: Iterable[str]
) -> None:
    """Give the person exactly these roles; the caller has waited `in_line`.

    Raises `Refused` for an unknown role, `NotAllowed` for one that holds more than the actor,
    `Conflict` if nobody would be left who may do everything.
    """
    wanted = set(roles)
    before = set(await roles_of(session, person.id))
    # a role that an older release granted and this one does not know may only be taken away
    require_grantable(actor, sorted((wanted ^ before) - (before - set(ROLES))))
    if SUPER_ADMIN in before - wanted:
        await keep_one_super_admin(session, person)
    for role in before - wanted:
        await session.delete(await session.get_one(RoleGrant, (person.id, role)))
    for role in wanted - before:
        session.add(RoleGrant(person_id=person.id, role=role, granted_by=actor.name))
    await session.flush()
    await audit.record(
        session,
        actor=actor.name,
        action="person.roles",
        target=person.username,
        detail={"before": ", ".join(sorted(before)), "after": ", ".join(sorted(wanted))},
    )
