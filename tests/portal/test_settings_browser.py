"""Settings and TLS in a real browser, through HTTPS."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from petrihub_core.roles import SUPER_ADMIN

from tests.platform import PASSWORD
from tests.portal.browsing import barriers, newcomer
from tests.portal.fronted import Fronted
from tests.portal.guests import PORTAL

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def signed_in(browser: Browser, fronted: Fronted) -> Iterator[BrowserContext]:
    """Chromium with an administrator who typed name and password on the HTTPS page."""
    guest = newcomer(fronted, SUPER_ADMIN)  # type: ignore[arg-type] # has what is needed
    context = browser.new_context(base_url=fronted.url, ignore_https_errors=True)
    page = context.new_page()
    page.goto(PORTAL)
    page.get_by_label("Name").fill(guest.name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{fronted.url}{PORTAL}")
    page.close()
    yield context
    context.close()


@pytest.fixture
def page(signed_in: BrowserContext) -> Iterator[Page]:
    """A fresh page; no script may complain."""
    opened = signed_in.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    opened.close()
    assert complaints == []


def test_all_cookies_of_a_sign_in_are_for_https_only(signed_in: BrowserContext) -> None:
    insecure = [cookie["name"] for cookie in signed_in.cookies() if not cookie["secure"]]
    assert insecure == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_barrier_on_settings_and_tls(page: Page, theme: str) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    for path in ("settings/site", "settings/email", "settings/licence", "tls"):
        page.goto(f"{PORTAL}admin/{path}")
        assert page.locator("html").get_attribute("data-bs-theme") == theme
        assert barriers(page) == [], path
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        page.set_viewport_size({"width": 1280, "height": 800})


def test_a_page_is_saved_with_the_keyboard_alone(page: Page) -> None:
    page.goto(f"{PORTAL}admin/settings/site")
    page.get_by_label("Contact").focus()
    page.keyboard.type("ask@example.org")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Site is saved and in force.")).to_be_visible()
    expect(page.get_by_label("Contact")).to_have_value("ask@example.org")
    page.get_by_role("link", name="History").click()
    expect(page.get_by_text("Contact: empty → ask@example.org").first).to_be_visible()


def test_a_certificate_is_made_and_a_failed_order_is_told_while_one_watches(page: Page) -> None:
    page.goto(f"{PORTAL}admin/tls")
    page.get_by_role("button", name="Make a self-signed certificate").click()
    expect(page.get_by_text("A new self-signed certificate is in force.")).to_be_visible()
    page.get_by_label("Directory address").fill("https://localhost:9/dir")
    page.get_by_label("Terms accepted").check()
    page.get_by_role("button", name="Save and order").click()
    expect(page.get_by_text("The last order failed")).to_be_visible()
    expect(page.get_by_text("does not answer as one")).to_be_visible()
