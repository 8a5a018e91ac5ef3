"""The settings pages of the panel, and how a page is looked at: values, version, secrets."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import settings
from petrihub_core.errors import NotFound, Refused
from petrihub_core.settings import Secret, SettingsPage
from petrihub_core.settings.fields import Change, difference, is_text
from petrihub_core.settings.pages import LimitsSettings, SignInSettings, SiteSettings
from petrihub_core.settings.store import version_of
from petrihub_core.settings.vault import Vault
from petrihub_portal.mail import MailSettings
from petrihub_portal.ordering import AcmeSettings


class LicenceSettings(SettingsPage):
    """The licence token; nothing is checked yet, and no function depends on it."""

    page: ClassVar[str] = "licence"
    title: ClassVar[str] = "Licence"
    summary: ClassVar[str] = (
        "PetriHub works without a licence. If you were given a token, it is kept here; "
        "this release does not look into it yet."
    )
    secrets: ClassVar[tuple[Secret, ...]] = (
        Secret(
            name="token",
            title="Licence token",
            description="The text that you were given, as a whole.",
            longest=20_000,
        ),
    )


PAGES: tuple[type[SettingsPage], ...] = (
    SiteSettings,
    SignInSettings,
    MailSettings,
    LimitsSettings,
    LicenceSettings,
)
# ACME's form is on the page TLS
_ALL: dict[str, type[SettingsPage]] = {model.page: model for model in PAGES}
_ALL[AcmeSettings.page] = AcmeSettings


def page_model(name: str) -> type[SettingsPage]:
    """The page of this name. Raises `NotFound`."""
    if name not in _ALL:
        raise NotFound("There is no such settings page.", hint=f"There are: {', '.join(_ALL)}.")
    return _ALL[name]


def all_pages() -> tuple[type[SettingsPage], ...]:
    """Every page that has a form and an API."""
    return tuple(_ALL.values())


@dataclass(frozen=True, kw_only=True)
class SecretLook:
    """What may be said of a secret; `fingerprint` is empty while it is not set."""

    secret: Secret
    fingerprint: str = ""
    by: str = ""
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class PageLook:
    """A page as it is now."""

    model: type[SettingsPage]
    values: SettingsPage
    version: int
    secrets: tuple[SecretLook, ...]


async def look(session: AsyncSession, vault: Vault, model: type[SettingsPage]) -> PageLook:
    """The page in force; never a secret, only that it is set."""
    kept = await vault.look(session, model.page)
    secrets = []
    for secret in model.secrets:
        row = kept.get(secret.name)
        secrets.append(
            SecretLook(secret=secret)
            if row is None
            else SecretLook(secret=secret, fingerprint=row.fingerprint, by=row.by, at=row.at)
        )
    return PageLook(
        model=model,
        values=await settings.read(session, model),
        version=await version_of(session, model),
        secrets=tuple(secrets),
    )


def secret_of(model: type[SettingsPage], name: str) -> Secret:
    """The page's secret of this name. Raises `NotFound`."""
    for secret in model.secrets:
        if secret.name == name:
            return secret
    raise NotFound("This page keeps no such secret.")


async def keep_secret(
    session: AsyncSession,
    vault: Vault,
    model: type[SettingsPage],
    name: str,
    value: str,
    *,
    by: str,
) -> None:
    """Set or replace a secret. Raises `Refused` if it is empty or too long."""
    secret = secret_of(model, name)
    if not value:
        raise Refused("Nothing was entered.", hint="To take the secret away, choose Remove.")
    if not is_text(value):
        raise Refused("This is not text.", hint="Was it copied as a whole?")
    if len(value) > secret.longest:
        raise Refused(f"At most {secret.longest} characters are taken.")
    await vault.seal(session, model.page, secret.name, value, by)


async def past(
    session: AsyncSession, model: type[SettingsPage], limit: int, offset: int = 0
) -> list[Change]:
    """The saved versions with what each changed, newest first."""
    rows = await settings.history(session, model.page, limit + 1, offset)
    older: list[Mapping[str, Any] | None] = [row.content for row in rows[1:]]
    older.append(None)  # before the first one the defaults were in force
    return [
        Change(
            version=row.version,
            by=row.by,
            at=row.at,
            changes=difference(model, before, row.content),
        )
        for row, before in zip(rows[:limit], older, strict=False)
    ]
