"""Settings pages in the database: the newest version is in force, older ones stay readable."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit
from petrihub_core.errors import Conflict, NotFound, Refused
from petrihub_core.logs import get_logger
from petrihub_core.records import SettingsVersion

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Secret:
    """What a page keeps in the vault: written, replaced, removed, never shown."""

    name: str
    title: str
    description: str
    longest: int = 1024  # characters


class SettingsPage(BaseModel):
    """One page of settings: form, validation, API and manual come from its fields.

    A secret is never a field: it lies in the vault under (page, its name in `secrets`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    page: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str] = ""
    secrets: ClassVar[tuple[Secret, ...]] = ()

    async def check(self, session: AsyncSession) -> None:
        """Raise `Refused` for values that do not fit what is in the tables."""


Page = TypeVar("Page", bound=SettingsPage)


async def _newest(session: AsyncSession, page: str) -> SettingsVersion | None:
    return await session.scalar(
        select(SettingsVersion)
        .where(SettingsVersion.page == page)
        .order_by(SettingsVersion.version.desc())
        .limit(1)
    )


async def read(session: AsyncSession, model: type[Page]) -> Page:
    """The settings in force; the model's defaults before anybody saved it.

    A version that this release cannot read counts as not there, and is logged.
    """
    row = await _newest(session, model.page)
    if row is None:
        return model()
    try:
        return model.model_validate(row.content)
    except ValidationError:
        log.exception(
            "settings that this release cannot read", page=model.page, version=row.version
        )
        return model()


async def version_of(session: AsyncSession, model: type[SettingsPage]) -> int:
    """The number of the version in force; 0 before anybody saved it."""
    row = await _newest(session, model.page)
    return row.version if row else 0


async def write(
    session: AsyncSession, values: SettingsPage, *, by: str, expected: int | None = None
) -> int:
    """Save a new version with its audit row; the version's number.

    With `expected`, raises `Conflict` if somebody saved another version since that one was read.
    """
    before = await _newest(session, values.page)
    number = before.version if before else 0
    if expected is not None and expected != number:
        raise Conflict(
            "Somebody else saved this page in the meantime.",
            hint="Reload it, look at what changed, then save again.",
        )
    content = values.model_dump(mode="json")
    old = before.content if before else type(values)().model_dump(mode="json")
    session.add(SettingsVersion(page=values.page, version=number + 1, content=content, by=by))
    try:
        await session.flush()
        await values.check(session)
    except IntegrityError as exc:  # two saved at the same moment
        raise Conflict(
            "Somebody else saved this page at the same moment.", hint="Reload it and try again."
        ) from exc
    changed = sorted(key for key in content if content[key] != old.get(key))
    await audit.record(
        session,
        actor=by,
        action="settings.saved",
        target=values.page,
        detail={"version": number + 1, "changed": ", ".join(changed)},
    )
    return number + 1


async def history(
    session: AsyncSession, page: str, limit: int = 20, offset: int = 0
) -> Sequence[SettingsVersion]:
    """The latest versions, newest first."""
    rows = await session.scalars(
        select(SettingsVersion)
        .where(SettingsVersion.page == page)
        .order_by(SettingsVersion.version.desc())
        .limit(limit)
        .offset(offset)
    )
    return list(rows)


async def put_back(
    session: AsyncSession, model: type[Page], version: int, *, by: str, expected: int | None = None
) -> int:
    """Save an older version as the newest one; its number.

    Raises `NotFound` if there is no such version, `Refused` if this release cannot read it, and
    `Conflict` as `write` does.
    """
    row = await session.get(SettingsVersion, (model.page, version))
    if row is None:
        raise NotFound(f"There is no version {version} of this page.")
    try:
        values = model.model_validate(row.content)
    except ValidationError as exc:
        raise Refused(
            f"Version {version} is of another release and does not fit this one.",
            hint="Enter the values by hand.",
        ) from exc
    return await write(session, values, by=by, expected=expected)
