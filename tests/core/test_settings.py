"""Settings pages: versions, words for what does not fit, the manual made from the fields."""

import pytest
from sqlalchemy import select

from petrihub_core import settings
from petrihub_core.database import Database
from petrihub_core.errors import Conflict, NotFound
from petrihub_core.records import AuditRow
from petrihub_core.settings.fields import Invalid, as_text, controls, difference, from_text, manual
from petrihub_core.settings.pages import (
    LimitsSettings,
    SignInSettings,
    SiteSettings,
    contrast_with_white,
)
from petrihub_core.settings.store import version_of


async def test_the_newest_version_is_in_force_and_an_older_one_can_be_put_back(
    database: Database,
) -> None:
    async with database.session() as session:
        assert await settings.read(session, SiteSettings) == SiteSettings()
        await settings.write(session, SiteSettings(name="First"), by="ada", expected=0)
        await settings.write(session, SiteSettings(name="Second"), by="ada", expected=1)
        assert (await settings.read(session, SiteSettings)).name == "Second"
        number = await settings.put_back(session, SiteSettings, 1, by="eve", expected=2)
        assert (number, (await settings.read(session, SiteSettings)).name) == (3, "First")
        rows = await settings.history(session, "site")
        assert [(row.version, row.by) for row in rows] == [(3, "eve"), (2, "ada"), (1, "ada")]
        with pytest.raises(NotFound):
            await settings.put_back(session, SiteSettings, 9, by="eve")
        audit = await session.scalars(
            select(AuditRow.detail).where(AuditRow.action == "settings.saved")
        )
        assert [row["changed"] for row in audit] == ["name", "name", "name"]


async def test_who_saves_what_somebody_else_changed_meanwhile_is_told(database: Database) -> None:
    async with database.session() as session:
        await settings.write(session, SiteSettings(name="Ada's"), by="ada", expected=0)
    async with database.session() as session:
        with pytest.raises(Conflict, match="Somebody else saved this page"):
            await settings.write(session, SiteSettings(name="Eve's"), by="eve", expected=0)
    async with database.reading() as session:
        assert await version_of(session, SiteSettings) == 1


@pytest.mark.parametrize(
    ("model", "field", "text", "words"),
    [
        (SiteSettings, "name", "x" * 65, "At most 64 characters."),
        (SiteSettings, "accent", "red", "not in the form that is described"),
        (SiteSettings, "accent", "#ffee00", "hard to read"),
        (LimitsSettings, "token_days", "0", "At least 1."),
        (LimitsSettings, "token_days", "999", "At most 366."),
        (LimitsSettings, "token_days", "many", "A whole number is needed."),
        (SignInSettings, "shortest_password", "", "A whole number is needed."),
        (SignInSettings, "shortest_password", "8", "At least 10."),
    ],
)
def test_what_does_not_fit_is_said_at_its_field(
    model: type[settings.SettingsPage], field: str, text: str, words: str
) -> None:
    with pytest.raises(Invalid) as refused:
        from_text(model, {**as_text(model()), field: text})
    assert list(refused.value.errors) == [field]
    assert words in refused.value.errors[field]


def test_a_form_gives_back_what_it_showed() -> None:
    for page in (SiteSettings(name="A & B"), LimitsSettings(workspaces_per_person=4)):
        assert from_text(type(page), as_text(page)) == page
    assert from_text(LimitsSettings, as_text(LimitsSettings())).workspaces_per_person is None


def test_every_control_has_a_title_and_says_what_it_is() -> None:
    for model in (SiteSettings, SignInSettings, LimitsSettings):
        for each in controls(model, {}, {}):
            assert each.title != each.name
            assert each.description.endswith("."), each


def test_an_accent_with_unreadable_words_is_refused() -> None:
    assert contrast_with_white("#000000") == pytest.approx(21)
    assert contrast_with_white("#ffffff") == pytest.approx(1)
    assert SiteSettings(accent="#AA2244").accent == "#aa2244"


def test_a_difference_names_title_before_and_after() -> None:
    before = SiteSettings().model_dump(mode="json")
    after = SiteSettings(name="Lab").model_dump(mode="json")
    assert difference(SiteSettings, before, after) == (("Name", "", "Lab"),)


def test_the_manual_has_every_field() -> None:
    text = manual((SiteSettings, LimitsSettings))
    for name in (*SiteSettings.model_fields, *LimitsSettings.model_fields):
        assert f"`{name}`" in text


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b", "a\x1bb", "a\u202eb", "a\rb"])
def test_what_cannot_be_stored_or_shown_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        from_text(SiteSettings, {"name": text})
    assert "can be shown" in refused.value.errors["name"]
