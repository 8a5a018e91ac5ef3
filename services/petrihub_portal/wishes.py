"""What I may do, what I may not, by which rule, and what I can therefore ask for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.deployment import Deployment
from petrihub_core.errors import Refused
from petrihub_core.menu import Menu, Offered, group_titles, menu_of, offered_to
from petrihub_core.records import Allowance, Group, GroupMember, Person, Request, now
from petrihub_core.web import size_words
from petrihub_portal.open_apps import AppsOfProfiles


class Kind(StrEnum):
    """What can be asked for; `time` prolongs what was given with an end."""

    SIZE = "size"
    APP = "app"
    GROUP = "group"
    TIME = "time"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Something that can be asked for; `title` reads well after "You now have"."""

    kind: Kind
    subject: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Right:
    """One thing on the page of rights; `refusal` is the rule that forbids it, or empty.

    `until`: it was given to this person alone and ends then. `wish` can be asked for.
    """

    title: str
    words: str = ""
    refusal: str = ""
    until: datetime | None = None
    wish: Wish | None = None


@dataclass(frozen=True, kw_only=True)
class Rights:
    """Everything that is offered here, as one person may use it."""

    profiles: Sequence[Right]
    sizes: Sequence[Right]
    apps: Sequence[Right]
    groups: Sequence[Right]

    def wishes(self) -> list[Wish]:
        """All that can be asked for, in the order of the page."""
        every = (*self.sizes, *self.apps, *self.groups)
        return [right.wish for right in every if right.wish is not None]


@dataclass(frozen=True, kw_only=True)
class Names:
    """How people call what requests are about."""

    menu: Menu
    apps: AppsOfProfiles
    groups: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    async def read(cls, session: AsyncSession, deployment: Deployment) -> "Names":
        """As of now; the groups are those that may be asked for.

        Some rule of the menu names them, or they are open to requests.
        """
        menu = await menu_of(session, deployment)
        asked = or_(Group.name.in_(sorted(menu.group_names())), Group.open_to_requests)
        rows = await session.execute(select(Group.name, Group.title).where(asked))
        return cls(
            menu=menu,
            apps=await AppsOfProfiles.read(session, deployment),
            groups={row.name: row.title for row in rows},
        )

    def title(self, kind: str, subject: str) -> str:
        """The thing in words, such as "the size Large"."""
        if kind == Kind.SIZE:
            size = self.menu.size(subject)
            return f"the size {size.title if size else subject}"
        if kind == Kind.GROUP:
            return f"the group {self.groups.get(subject, subject)}"
        return f"the app {self.apps.title(subject)}"

    async def titles_of(self, session: AsyncSession, requests: Sequence[Request]) -> dict[str, str]:
        """What each request asks for, by the request's id."""
        prolonged = [each.subject for each in requests if each.kind == Kind.TIME]
        groups = [each.subject for each in requests if each.kind == Kind.GROUP]
        found = {
            row.id: row
            for row in await session.scalars(select(Allowance).where(Allowance.id.in_(prolonged)))
        }
        known = Names(menu=self.menu, apps=self.apps, groups=await group_titles(session, groups))
        return {
            each.id: known.title_of_time(found.get(each.subject))
            if each.kind == Kind.TIME
            else known.title(each.kind, each.subject)
            for each in requests
        }

    def title_of_time(self, held: Allowance | None) -> str:
        """The prolonging of an allowance in words."""
        if held is None:
            return "more time"
        return f"more time with {self.title(held.kind, held.subject)}"


async def rights_of(session: AsyncSession, deployment: Deployment, person: Person) -> Rights:
    """What the person may do now, and why not the rest."""
    names = await Names.read(session, deployment)
    offered = await offered_to(session, deployment, person.id)
    rows = await session.scalars(
        select(Allowance).where(
            Allowance.person_id == person.id,
            or_(Allowance.until.is_(None), Allowance.until > now()),
        )
    )
    held = {(row.kind, row.subject): row for row in rows}
    return Rights(
        profiles=[
            Right(title=each.profile.title, words=each.profile.description, refusal=each.refusal)
            for each in offered.profiles
        ],
        sizes=_sizes(offered, names, held),
        apps=_apps(offered, names, held),
        groups=await _groups(session, person, names),
    )


Held = Mapping[tuple[str, str], Allowance]


def _sizes(offered: Offered, names: Names, held: Held) -> list[Right]:
    known = {each.size.id: each for profile in offered.profiles for each in profile.sizes}
    in_order = [known[size.id] for size in names.menu.sizes if size.id in known]
    return [
        _right(
            names,
            Wish(kind=Kind.SIZE, subject=size.id, title=names.title(Kind.SIZE, size.id)),
            Right(
                title=size.title,
                words=size_words(size.cpu, size.memory_gib),
                refusal=each.refusal,
            ),
            held,
        )
        for each in in_order
        for size in (each.size,)
    ]


def _apps(offered: Offered, names: Names, held: Held) -> list[Right]:
    known = names.apps.every()
    ids = [*known, *(each.id for each in offered.apps if each.id not in known)]
    found = []
    for app in ids:
        title, refusal = names.apps.title(app), offered.app_refusal(app)
        missing = known[app].unavailable if app in known else ""
        if missing and not refusal:  # nobody can be given what is not installed
            found.append(Right(title=title, refusal=missing))
            continue
        wish = Wish(kind=Kind.APP, subject=app, title=names.title(Kind.APP, app))
        found.append(_right(names, wish, Right(title=title, refusal=refusal), held))
    return found


def _right(names: Names, wish: Wish, right: Right, held: Held) -> Right:
    """The right with what it leads to: asking for it, or for more time with it."""
    mine = held.get((wish.kind, wish.subject))
    until = mine.until if mine else None
    if right.refusal:
        asked: Wish | None = wish
    elif mine is not None and until is not None:
        asked = Wish(kind=Kind.TIME, subject=mine.id, title=names.title_of_time(mine))
    else:
        asked = None
    return Right(
        title=right.title, words=right.words, refusal=right.refusal, until=until, wish=asked
    )


async def _groups(session: AsyncSession, person: Person, names: Names) -> list[Right]:
    """My groups, then those that may be asked for: of others nobody outside is told."""
    rows = await session.execute(
        select(Group.name, Group.title)
        .join(GroupMember, GroupMember.group_id == Group.id)
        .where(GroupMember.person_id == person.id)
        .order_by(Group.title)
    )
    mine = {row.name: row.title for row in rows}
    have = [Right(title=title) for title in mine.values()]
    others = sorted(names.groups.items() - mine.items(), key=lambda item: item[1])
    return have + [
        Right(
            title=title,
            refusal="You are not in this group.",
            wish=Wish(kind=Kind.GROUP, subject=name, title=names.title(Kind.GROUP, name)),
        )
        for name, title in others
    ]


async def wish_for(
    session: AsyncSession, deployment: Deployment, person: Person, kind: str, subject: str
) -> Wish:
    """The wish that these two words mean; raises `Refused` if it is not to be asked for."""
    rights = await rights_of(session, deployment, person)
    for wish in rights.wishes():
        if (wish.kind, wish.subject) == (kind, subject):
            return wish
    raise Refused(
        "This cannot be asked for: it is yours already, or it is not offered here.",
        hint="Choose from the list.",
    )
