"""The run-time settings by REST."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from petrihub_core import settings
from petrihub_core.settings.fields import from_values
from petrihub_portal.areas.settings import READ, WRITE, send_test
from petrihub_portal.routing import Area
from petrihub_portal.settings_pages import (
    PageLook,
    all_pages,
    keep_secret,
    look,
    page_model,
    past,
    secret_of,
)
from petrihub_portal.visit import CurrentVisit

area = Area("Settings")

_LARGE = 256 * 1024  # a CA bundle or a licence token may be long

Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]


class SecretState(BaseModel):
    """Whether a secret is set; its value is never given."""

    set: bool
    fingerprint: str
    by: str
    at: datetime | None


class SettingsState(BaseModel):
    """One page of settings as it is in force; version 0 stands for the defaults."""

    page: str
    title: str
    version: int
    values: dict[str, JsonValue]
    secrets: dict[str, SecretState]


class SettingsBody(BaseModel):
    """All values of a page; what is missing becomes its default."""

    model_config = ConfigDict(extra="forbid")

    values: dict[Annotated[str, Field(max_length=64)], JsonValue] = Field(max_length=100)
    expected: int | None = Field(
        None, ge=0, le=2**31 - 1, description="The version that you read; 409 if it is another one."
    )


class PutBackBody(BaseModel):
    """Which version shall be in force again."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1, le=2**31 - 1)
    expected: int | None = Field(None, ge=0, le=2**31 - 1)


class SecretBody(BaseModel):
    """A secret to keep; it cannot be read back."""

    model_config = ConfigDict(extra="forbid")

    value: str = Field(min_length=1, max_length=20_000)


class TestBody(BaseModel):
    """Where the test e-mail goes."""

    model_config = ConfigDict(extra="forbid")

    to: str = Field(min_length=3, max_length=254)


class Said(BaseModel):
    """What the mail server said."""

    said: str


class ChangeState(BaseModel):
    """One saved version: `changes` are title, before and after."""

    version: int
    by: str
    at: datetime
    changes: list[tuple[str, str, str]]


class SettingsHistory(BaseModel):
    """Versions, newest first."""

    items: list[ChangeState]


def _state(found: PageLook) -> SettingsState:
    return SettingsState(
        page=found.model.page,
        title=found.model.title,
        version=found.version,
        values=found.values.model_dump(mode="json"),
        secrets={
            each.secret.name: SecretState(
                set=bool(each.fingerprint), fingerprint=each.fingerprint, by=each.by, at=each.at
            )
            for each in found.secrets
        },
    )


async def state_of(visit: CurrentVisit, name: str) -> SettingsState:
    """The page of this name as it is now."""
    async with visit.portal.database.reading() as session:
        return _state(await look(session, visit.portal.vault, page_model(name)))


@area.api("GET", "/settings", needs=READ)
async def every_page(visit: CurrentVisit) -> list[SettingsState]:
    """All pages of settings."""
    async with visit.portal.database.reading() as session:
        return [_state(await look(session, visit.portal.vault, model)) for model in all_pages()]


@area.api("GET", "/settings/{name}", needs=READ)
async def one_page(visit: CurrentVisit, name: str) -> SettingsState:
    """One page of settings."""
    return await state_of(visit, name)


@area.api("GET", "/settings/{name}/schema", needs=READ)
async def schema(visit: CurrentVisit, name: str) -> dict[str, JsonValue]:
    """The JSON Schema of a page's values."""
    return page_model(name).model_json_schema()


@area.api("PUT", "/settings/{name}", needs=WRITE, max_body=_LARGE)
async def save_page(visit: CurrentVisit, name: str, body: SettingsBody) -> SettingsState:
    """Save a page as a new version."""
    values = from_values(page_model(name), body.values)
    async with visit.portal.database.session() as session:
        await settings.write(session, values, by=visit.actor.name, expected=body.expected)
    return await state_of(visit, name)


@area.api("GET", "/settings/{name}/versions", needs=READ)
async def versions(
    visit: CurrentVisit, name: str, limit: Limit = 50, offset: Offset = 0
) -> SettingsHistory:
    """The saved versions of a page, newest first."""
    async with visit.portal.database.reading() as session:
        changes = await past(session, page_model(name), limit, offset)
    return SettingsHistory(
        items=[
            ChangeState(version=each.version, by=each.by, at=each.at, changes=list(each.changes))
            for each in changes
        ]
    )


@area.api("POST", "/settings/{name}/put-back", needs=WRITE)
async def put_version_back(visit: CurrentVisit, name: str, body: PutBackBody) -> SettingsState:
    """Save an older version as the newest one."""
    async with visit.portal.database.session() as session:
        await settings.put_back(
            session,
            page_model(name),
            body.version,
            by=visit.actor.name,
            expected=body.expected,
        )
    return await state_of(visit, name)


@area.api("PUT", "/settings/{name}/secrets/{secret}", needs=WRITE, max_body=_LARGE)
async def put_secret(
    visit: CurrentVisit, name: str, secret: str, body: SecretBody
) -> SettingsState:
    """Set or replace a secret."""
    async with visit.portal.database.session() as session:
        await keep_secret(
            session,
            visit.portal.vault,
            page_model(name),
            secret,
            body.value,
            by=visit.actor.name,
        )
    return await state_of(visit, name)


@area.api("DELETE", "/settings/{name}/secrets/{secret}", needs=WRITE)
async def delete_secret(visit: CurrentVisit, name: str, secret: str) -> SettingsState:
    """Forget a secret; nothing happens if none is set."""
    model = page_model(name)
    async with visit.portal.database.session() as session:
        await visit.portal.vault.forget(
            session, model.page, secret_of(model, secret).name, visit.actor.name
        )
    return await state_of(visit, name)


@area.api("POST", "/settings/email/test", needs=WRITE)
async def test_email(visit: CurrentVisit, body: TestBody) -> Said:
    """Send a test e-mail."""
    return Said(said=await send_test(visit, body.to))
