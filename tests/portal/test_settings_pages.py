"""The settings pages in the panel and by REST: forms, versions, secrets that nobody reads back."""

import asyncio
import html
from pathlib import Path

import pytest
from typer.testing import CliRunner

from petrihub_authenticators.links import Kind, lifetime
from petrihub_cli.main import app
from petrihub_cli.settings_manual import manual_page
from petrihub_core import settings
from petrihub_core.database import Database
from petrihub_core.settings.fields import as_text
from petrihub_core.settings.pages import LimitsSettings, SignInSettings, SiteSettings
from petrihub_core.settings.vault import Vault
from petrihub_portal.settings_pages import PAGES, all_pages

from tests.portal.conftest import AddPerson
from tests.portal.guests import PORTAL, Guest, Site

SECRET = "swordfish-77d1"


def test_every_page_shows_its_fields_with_title_and_words(boss: Guest) -> None:
    assert boss.get("admin/settings").url.path.endswith("/admin/settings/site")
    for model in PAGES:
        page = boss.get(f"admin/settings/{model.page}")
        assert page.status_code == 200
        for name, field in model.model_fields.items():
            assert f'name="{name}"' in page.text
            assert str(field.title) in page.text
        for secret in model.secrets:
            assert f"secrets/{secret.name}" in page.text


def test_a_saved_page_is_in_force_and_the_version_before_can_be_put_back(boss: Guest) -> None:
    state = boss.api("GET", "settings/site").json()
    form = {**as_text(SiteSettings()), "expected": str(state["version"])}
    assert boss.post("admin/settings/site", {**form, "name": "Curie Lab"}).status_code == 303
    page = boss.get("admin/settings/site").text
    assert "Site is saved and in force." in page
    assert '<span class="ph-site">Curie Lab</span>' in page
    old = boss.post("admin/settings/site", {**form, "name": "Too late"})
    assert old.status_code == 409
    assert "Somebody else saved this page" in old.text
    assert 'value="Too late"' in old.text  # what was typed is not lost
    history = boss.get("admin/settings/site/history").text
    assert "Curie Lab" in history
    assert boss.name in history
    now = boss.api("GET", "settings/site").json()["version"]
    body = {**as_text(SiteSettings()), "expected": str(now)}
    assert boss.post("admin/settings/site", body).status_code == 303
    put_back = boss.post(f"admin/settings/site/history/{now}/put-back", {"expected": str(now + 1)})
    assert put_back.status_code == 303
    assert boss.api("GET", "settings/site").json()["values"]["name"] == "Curie Lab"
    again = boss.api("PUT", "settings/site", {"values": {}, "expected": now + 2})
    assert again.json()["values"]["name"] == ""


def test_wrong_values_are_said_at_their_field_and_nothing_is_saved(boss: Guest) -> None:
    before = boss.api("GET", "settings/limits").json()
    form = {**as_text(LimitsSettings()), "token_days": "4000", "link_days": "soon"}
    answer = boss.post("admin/settings/limits", form)
    assert answer.status_code == 422
    assert 'id="error-token_days">At most 366.' in answer.text
    assert 'id="error-link_days">A whole number is needed.' in answer.text
    by_api = boss.api("PUT", "settings/limits", {"values": {"token_days": 4000, "nothing": 1}})
    assert by_api.status_code == 422
    assert "token_days: At most 366." in by_api.json()["detail"]
    assert "There is no such setting" in by_api.json()["detail"]
    assert boss.api("GET", "settings/limits").json() == before


@pytest.mark.parametrize("value", ["{{ 7919 * 7919 }}", "<script>x</script>", '"><img src=x>'])
def test_what_somebody_enters_is_shown_as_text_and_never_run(boss: Guest, value: str) -> None:
    assert boss.api("PUT", "settings/site", {"values": {"contact": value}}).status_code == 200
    for path in ("admin/settings/site", "admin/settings/site/history"):
        page = boss.get(path).text
        assert value in html.unescape(page)
        assert "<" not in value or value not in page
        assert "62710561" not in page
    boss.api("PUT", "settings/site", {"values": {}})


def test_an_accent_colour_reaches_the_pages(boss: Guest) -> None:
    assert boss.client.get(f"{PORTAL}site.css").text == ""
    boss.api("PUT", "settings/site", {"values": {"accent": "#7a1f5c"}})
    page = boss.get("admin/settings/site").text
    assert "site.css?of=7a1f5c" in page
    css = boss.client.get(f"{PORTAL}site.css?of=7a1f5c")
    assert css.headers["content-type"].startswith("text/css")
    assert "--ph-accent: #7a1f5c" in css.text
    boss.api("PUT", "settings/site", {"values": {}})


async def test_a_secret_is_set_replaced_and_removed_and_never_read_back(
    boss: Guest, tables: Database, site: Site
) -> None:
    unset = boss.api("GET", "settings/email").json()["secrets"]["password"]
    assert unset["set"] is False
    where = "admin/settings/email/secrets/password"
    assert boss.post(where, {"value": SECRET}).status_code == 303
    seen = [
        boss.get("admin/settings/email"),
        boss.get("admin/settings/email/history"),
        boss.api("GET", "settings"),
        boss.api("GET", "settings/email"),
        boss.api("GET", "settings/email/versions"),
        boss.post(where, {"value": ""}),  # an error page
        boss.api("PUT", "settings/email/secrets/password", {"value": SECRET, "x": 1}),
        boss.api("PUT", "settings/email/secrets/nothing", {"value": SECRET}),
        boss.api("PUT", "settings/email", {"values": {"password": SECRET}}),
    ]
    assert [answer.status_code for answer in seen[5:]] == [400, 422, 404, 422]
    for answer in seen:
        assert SECRET not in answer.text, answer.url
    first = seen[3].json()["secrets"]["password"]
    assert (first["set"], first["by"], len(first["fingerprint"])) == (True, boss.name, 8)
    form = seen[0].text.split(f'action="{PORTAL}{where}"')[1].split("</form>")[0]
    assert 'type="password"' in form
    assert 'autocomplete="off"' in form
    boss.api("PUT", "settings/email/secrets/password", {"value": "another"})
    assert boss.api("GET", "settings/email").json()["secrets"]["password"] != first
    vault = Vault(site.deployment.secrets / "settings_keys")
    async with tables.reading() as session:
        assert await vault.open(session, "email", "password") == "another"
    assert boss.post(f"{where}/remove").status_code == 303
    assert boss.api("GET", "settings/email").json()["secrets"]["password"]["set"] is False
    for path in site.deployment.logs.glob("*.log"):
        assert SECRET not in path.read_text(errors="replace"), path


async def test_the_key_is_rotated_by_a_command_while_the_platform_runs(
    boss: Guest, site: Site
) -> None:
    boss.api("PUT", "settings/licence/secrets/token", {"value": "a licence"})
    keys = site.deployment.secrets / "settings_keys"
    before = keys.read_text()

    done = await asyncio.to_thread(
        CliRunner().invoke, app, ["settings", "rotate-key", "--state", str(site.deployment.state)]
    )
    assert done.exit_code == 0, done.output
    assert "sealed with a new key" in done.output
    assert keys.read_text() != before
    database = site.database()
    async with database.reading() as session:
        assert await Vault(keys).open(session, "licence", "token") == "a licence"
    await database.close()
    assert boss.api("DELETE", "settings/licence/secrets/token").status_code == 200


async def test_who_may_only_look_gets_no_buttons_and_no_changes(add_person: AddPerson) -> None:
    auditor = await add_person("auditor")
    page = auditor.get("admin/settings/email").text
    assert "You may look at these settings" in page
    main = page.split("<main")[1]
    assert "<button" not in main
    assert auditor.post("admin/settings/email", {"host": "x"}).status_code == 403
    assert auditor.api("PUT", "settings/email", {"values": {}}).status_code == 403
    assert auditor.api("PUT", "settings/email/secrets/password", {"value": "x"}).status_code == 403
    assert auditor.api("POST", "tls/self-signed").status_code == 403
    researcher = await add_person()
    for path in ("admin/settings", "admin/settings/site", "admin/tls", "api/v1/settings"):
        assert researcher.get(path).status_code == 403


def test_without_a_mail_server_the_test_says_what_to_do(boss: Guest) -> None:
    answer = boss.post("admin/settings/email/test", {"to": "ada@example.org"})
    assert answer.status_code == 400
    assert "No mail server is set" in answer.text


def test_without_a_front_the_page_says_how_to_turn_https_on(boss: Guest) -> None:
    page = boss.get("admin/tls").text
    assert "HTTPS is off" in page
    assert "kind = &#34;caddy&#34;" in page or 'kind = "caddy"' in page
    for method, path in (("POST", "tls/self-signed"), ("POST", "tls/order")):
        refused = boss.api(method, path)
        assert refused.status_code == 501
        assert "[front] of petrihub.toml" in refused.json()["hint"]


@pytest.mark.parametrize("path", ["/hub/login", PORTAL, "/", "/user/x/", f"{PORTAL}api/v1/alive"])
def test_an_unknown_name_gets_400_everywhere(site: Site, guest: Guest, path: str) -> None:
    for host, expected in (("evil.example", True), ("localhost:1", False), ("127.0.0.1", False)):
        answer = guest.client.get(path, headers={"Host": host}, follow_redirects=False)
        assert (answer.status_code == 400) is expected, (host, path)


async def test_how_long_links_last_is_as_it_was_set(tables: Database) -> None:
    async with tables.session() as session:
        assert (await lifetime(session, Kind.INVITE)).days == 7
        await settings.write(session, SignInSettings(invitation_days=3), by="ada")
        assert (await lifetime(session, Kind.INVITE)).days == 3
        await settings.write(session, SignInSettings(), by="ada")


def test_the_manual_is_in_step_with_the_code() -> None:
    kept = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
    assert kept.read_text() == manual_page()
    assert {model.page for model in all_pages()} >= {"site", "sign-in", "email", "acme"}
