"""The menu: which profiles, sizes and apps there are, and which of them one person is offered.

petrihub.toml's profiles and sizes are the menu until an administrator saves one. `judge` is pure:
what a person is offered follows from the menu and their standing (groups, allowances) alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import settings
from petrihub_core.deployment import (
    Deployment,
    GroupNames,
    Profile,
    Size,
    require_sizes_and_profiles_fit,
)
from petrihub_core.records import Allowance, Group, GroupMember, now
from petrihub_core.settings import SettingsPage
from petrihub_core.settings.pages import LimitsSettings
from petrihub_core.settings.store import version_of

SIZE = "size"  # kinds of requests and allowances
APP = "app"

AppId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


class MenuSettings(SettingsPage):
    """What an administrator saved; without profiles, petrihub.toml's menu is in force."""

    page: ClassVar[str] = "menu"
    title: ClassVar[str] = "Profiles and sizes"

    sizes: tuple[Size, ...] = Field((), max_length=50, description="CPU and memory choices.")
    profiles: tuple[Profile, ...] = Field(
        (), max_length=100, description="Kinds of workspaces, in the order of the start page."
    )
    app_groups: dict[AppId, GroupNames] = Field(
        {}, max_length=200, description="Groups that may use an app, by its id; others: everybody."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        require_sizes_and_profiles_fit(self.sizes, self.profiles)
        if bool(self.sizes) != bool(self.profiles):
            raise ValueError("a menu needs at least one size and one profile")
        return self


@dataclass(frozen=True, kw_only=True)
class Menu:
    """The menu in force; `version` is 0 while it is petrihub.toml's."""

    sizes: tuple[Size, ...]
    profiles: tuple[Profile, ...]
    app_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    version: int = 0

    def size(self, size_id: str) -> Size | None:
        """The size with this id."""
        return next((size for size in self.sizes if size.id == size_id), None)

    def profile(self, profile_id: str) -> Profile | None:
        """The profile with this id."""
        return next((profile for profile in self.profiles if profile.id == profile_id), None)

    def sizes_of(self, profile: Profile) -> tuple[Size, ...]:
        """The profile's sizes, in its own order: the first is preselected."""
        found = (self.size(size_id) for size_id in profile.sizes)
        return tuple(size for size in found if size is not None)

    def group_names(self) -> frozenset[str]:
        """Every group that some rule names."""
        rules = (
            *(size.groups for size in self.sizes),
            *(profile.groups for profile in self.profiles),
            *self.app_groups.values(),
        )
        return frozenset(name for rule in rules for name in rule)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What counts about a person: `allowances` are pairs of kind and subject, in force now."""

    groups: frozenset[str] = frozenset()
    allowances: frozenset[tuple[str, str]] = frozenset()
    default_profile: str = ""
    workspaces_limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class OfferedSize:
    """A size as one person sees it; `refusal` is the rule in words, or empty if it is theirs."""

    size: Size
    refusal: str


@dataclass(frozen=True, kw_only=True)
class OfferedApp:
    """An app that is for some groups only; `refusal` is empty if it is this person's too."""

    id: str
    refusal: str


@dataclass(frozen=True, kw_only=True)
class OfferedProfile:
    """A profile as one person sees it. `groups` are those to join when it is refused."""

    profile: Profile
    sizes: tuple[OfferedSize, ...]
    refusal: str
    groups: tuple[str, ...]

    def size(self, size_id: str) -> OfferedSize | None:
        """The size with this id among the profile's."""
        return next((each for each in self.sizes if each.size.id == size_id), None)


@dataclass(frozen=True, kw_only=True)
class Offered:
    """The menu as one person sees it, with the reason for everything that is not theirs.

    `apps` are the restricted ones only: every other app is for everybody. `preferred` is the
    profile that their group preselects, or empty. `workspaces_limit` is how many they may keep.
    """

    profiles: tuple[OfferedProfile, ...]
    apps: tuple[OfferedApp, ...]
    preferred: str
    workspaces_limit: int

    def profile(self, profile_id: str) -> OfferedProfile | None:
        """The profile with this id."""
        return next((each for each in self.profiles if each.profile.id == profile_id), None)

    def app_refusal(self, app_id: str) -> str:
        """Why this person may not use the app; empty if they may."""
        return next((each.refusal for each in self.apps if each.id == app_id), "")


def judge(
    menu: Menu,
    standing: Standing,
    *,
    workspaces_per_person: int,
    titles: Mapping[str, str] | None = None,
) -> Offered:
    """What a person of this standing is offered; `titles` are the groups' by name."""
    known = titles or {}

    def rule(what: str, groups: tuple[str, ...], kind: str, subject: str) -> str:
        if not groups or standing.groups & set(groups) or (kind, subject) in standing.allowances:
            return ""
        ask = "You can ask for it." if kind else "You can ask to join."
        return f"{what} is for {_groups_words(groups, known)}. {ask}"

    sizes = {
        size.id: OfferedSize(size=size, refusal=rule(size.title, size.groups, SIZE, size.id))
        for size in menu.sizes
    }
    profiles = tuple(
        OfferedProfile(
            profile=profile,
            sizes=tuple(sizes[size_id] for size_id in profile.sizes),
            refusal=rule(profile.title, profile.groups, "", ""),
            groups=profile.groups,
        )
        for profile in menu.profiles
    )
    apps = tuple(
        OfferedApp(id=app, refusal=rule("This app", groups, APP, app))
        for app, groups in menu.app_groups.items()
        if groups
    )
    limit = standing.workspaces_limit
    return Offered(
        profiles=profiles,
        apps=apps,
        preferred=standing.default_profile if menu.profile(standing.default_profile) else "",
        workspaces_limit=workspaces_per_person if limit is None else limit,
    )


def _groups_words(groups: Sequence[str], titles: Mapping[str, str]) -> str:
    named = [titles.get(name, name) for name in groups]
    if len(named) == 1:
        return f"the group {named[0]}"
    return f"the groups {', '.join(named[:-1])} and {named[-1]}"


def menu_in_file(deployment: Deployment, version: int = 0) -> Menu:
    """petrihub.toml's menu, as if it had this version."""
    return Menu(sizes=deployment.sizes, profiles=deployment.profiles, version=version)


async def menu_of(session: AsyncSession, deployment: Deployment) -> Menu:
    """The menu in force: the newest saved one, else petrihub.toml's."""
    saved = await settings.read(session, MenuSettings)
    version = await version_of(session, MenuSettings)
    if not saved.profiles:
        return menu_in_file(deployment, version)
    return Menu(
        sizes=saved.sizes, profiles=saved.profiles, app_groups=saved.app_groups, version=version
    )


async def standing_of(
    session: AsyncSession, person_id: str, at: datetime | None = None
) -> Standing:
    """The person's groups and unexpired allowances.

    Of several groups the first by name that has a default profile gives it, and the largest limit
    of workspaces counts.
    """
    at = at or now()
    groups = list(
        await session.scalars(
            select(Group)
            .join(GroupMember, GroupMember.group_id == Group.id)
            .where(GroupMember.person_id == person_id)
            .order_by(Group.name)
        )
    )
    allowed = await session.execute(
        select(Allowance.kind, Allowance.subject).where(
            Allowance.person_id == person_id,
            Allowance.kind.in_((SIZE, APP)),
            or_(Allowance.until.is_(None), Allowance.until > at),
        )
    )
    limits = [each.workspaces_limit for each in groups if each.workspaces_limit is not None]
    return Standing(
        groups=frozenset(group.name for group in groups),
        allowances=frozenset((kind, subject) for kind, subject in allowed),
        default_profile=next((g.default_profile for g in groups if g.default_profile), ""),
        workspaces_limit=max(limits, default=None),
    )


async def offered_to(session: AsyncSession, deployment: Deployment, person_id: str) -> Offered:
    """What this person is offered now, with the rule for everything that is not theirs."""
    menu = await menu_of(session, deployment)
    limits = await settings.read(session, LimitsSettings)
    return judge(
        menu,
        await standing_of(session, person_id),
        workspaces_per_person=limits.workspaces_per_person or deployment.workspaces.per_person,
        titles=await group_titles(session, menu.group_names()),
    )


async def group_titles(session: AsyncSession, names: Iterable[str]) -> dict[str, str]:
    """Titles of those of the named groups that exist."""
    wanted = sorted(names)
    if not wanted:
        return {}
    rows = await session.execute(select(Group.name, Group.title).where(Group.name.in_(wanted)))
    return {name: title for name, title in rows}  # noqa: C416 - rows are no tuples to mypy
