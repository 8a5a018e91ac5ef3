"""The places where people keep files: which ones a person has, and what is known of their size.

Promises: a place belongs to an identifier, never to a name, so whoever gets a name that somebody
else had gets none of their files. Only members of a group have its place, and only people who are
active have any.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.names import external_name
from petrihub_core.records import Group, GroupMember, Person, RoleGrant, now
from petrihub_core.roles import Permission, permissions_in
from petrihub_core.storage_records import StorageUsage

HOME_PATH = "/home/researcher"
SHARED_PATH = "/mnt/shared"  # below it one folder for each group, by its name
PUBLIC_PATH = "/mnt/public"


class Kind(StrEnum):
    """Whose files are in a place: one person's, a group's, or everybody's."""

    HOME = "home"
    SHARED = "shared"
    PUBLIC = "public"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place of a person. `subject` is the id of the person or of the group, empty if public.

    `name` and `title` are the group's, else empty; `path` is where a container sees it.
    """

    kind: Kind
    subject: str
    path: str
    name: str = ""
    title: str = ""
    read_only: bool = False

    @property
    def volume(self) -> str:
        """What it is called in a pod."""
        return f"{self.kind}-{self.name}" if self.kind is Kind.SHARED else str(self.kind)

    def external(self, deployment: str) -> str:
        """What it is called outside, in the deployment with this id."""
        return external(deployment, self.kind, self.subject)


def external(deployment: str, kind: Kind, subject: str) -> str:
    """The outside name of a place; no two places of any deployments share one."""
    return external_name(kind, deployment, *([subject] if subject else []))


def home_of(person_id: str) -> Place:
    """The person's own place."""
    return Place(kind=Kind.HOME, subject=person_id, path=HOME_PATH)


async def places_of(session: AsyncSession, person_id: str) -> tuple[Place, ...]:
    """The person's places now: home, then groups by name, then public; none if not active."""
    return (await places_of_many(session, [person_id]))[person_id]


async def places_of_many(
    session: AsyncSession, person_ids: Collection[str]
) -> dict[str, tuple[Place, ...]]:
    """The places of each of these people."""
    active = set(
        await session.scalars(select(Person.id).where(Person.id.in_(person_ids), Person.active))
    )
    roles: dict[str, list[str]] = defaultdict(list)
    for person_id, role in await session.execute(
        select(RoleGrant.person_id, RoleGrant.role).where(RoleGrant.person_id.in_(active))
    ):
        roles[person_id].append(role)
    groups: dict[str, list[Place]] = defaultdict(list)
    for person_id, group in await session.execute(
        select(GroupMember.person_id, Group)
        .join(Group, Group.id == GroupMember.group_id)
        .where(GroupMember.person_id.in_(active))
        .order_by(Group.name)
    ):
        groups[person_id].append(_shared(group))
    return {
        each: (home_of(each), *groups[each], _public(roles[each])) if each in active else ()
        for each in person_ids
    }


def _shared(group: Group) -> Place:
    return Place(
        kind=Kind.SHARED,
        subject=group.id,
        path=f"{SHARED_PATH}/{group.name}",
        name=group.name,
        title=group.title,
    )


def _public(roles: list[str]) -> Place:
    writes = Permission.PUBLIC_WRITE in permissions_in(roles)
    return Place(kind=Kind.PUBLIC, subject="", path=PUBLIC_PATH, read_only=not writes)


# --- how much is in them ------------------------------------------------------------------

Key = tuple[str, str]  # kind and subject


def prefix_of(kind: str, subject: str) -> str:
    """How the names of a place's objects in a bucket begin, before a slash."""
    return f"{kind}/{subject}" if subject else kind


class Counted(BaseModel):
    """What was counted in a place; see petrihub_sidecars.storage.count."""

    model_config = ConfigDict(extra="forbid", strict=True)

    size_bytes: int = Field(ge=0, lt=2**63)
    files: int = Field(ge=0, lt=2**63)
    partial: bool


async def note_counted(
    session: AsyncSession, key: Key, counted: Counted, *, in_use: bool = False
) -> None:
    """Write down what was counted in this place now; `in_use`: somebody could write meanwhile."""
    row = await session.get(StorageUsage, key)
    if row is None:
        row = StorageUsage(kind=key[0], subject=key[1])
        session.add(row)
    row.size_bytes, row.files = counted.size_bytes, counted.files
    row.partial, row.in_use, row.counted_at = counted.partial, in_use, now()


async def is_known(session: AsyncSession, key: Key) -> bool:
    """Whether there is such a place, also that of a group that was deleted."""
    kind, subject = key
    if kind == Kind.PUBLIC:
        return subject == ""
    whose = await session.get(Person if kind == Kind.HOME else Group, subject)
    return whose is not None or await session.get(StorageUsage, key) is not None


async def every_place(session: AsyncSession, deployment: str) -> dict[str, Key]:
    """All places that there may be, by outside name: also those of groups that were deleted."""
    subjects: list[tuple[Kind, str]] = [(Kind.PUBLIC, "")]
    subjects += [(Kind.HOME, each) for each in await session.scalars(select(Person.id))]
    subjects += [(Kind.SHARED, each) for each in await session.scalars(select(Group.id))]
    subjects += [(Kind.SHARED, row.subject) for row in await kept(session)]
    return {external(deployment, kind, subject): (kind, subject) for kind, subject in subjects}


async def usage(session: AsyncSession, kind: Kind, subject: str) -> StorageUsage | None:
    """What was counted of one place; None before the first time."""
    row = await session.get(StorageUsage, (kind, subject))
    return row if row is not None and row.counted_at is not None else None


async def usages(
    session: AsyncSession, kind: Kind, subjects: Collection[str]
) -> Mapping[str, StorageUsage]:
    """What was counted of several places, by subject; those never counted are left out."""
    rows = await session.scalars(
        select(StorageUsage).where(
            StorageUsage.kind == kind,
            StorageUsage.subject.in_(subjects),
            StorageUsage.counted_at.is_not(None),
        )
    )
    return {row.subject: row for row in rows}


async def kept(session: AsyncSession) -> list[StorageUsage]:
    """The places of groups that were deleted, whose files are still there, newest first."""
    rows = await session.scalars(
        select(StorageUsage)
        .where(StorageUsage.deleted_at.is_not(None))
        .order_by(StorageUsage.deleted_at.desc())
    )
    return list(rows)
