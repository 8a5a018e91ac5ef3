"""Profiles, maintenance and running workspaces in a real browser: what needs its scripts."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from petrihub_core.records import RoleGrant
from petrihub_core.roles import SUPER_ADMIN

from tests.platform import BROWSER_FLAGS
from tests.portal.guests import PORTAL, Guest, Site
from tests.portal.workspaces import make_guest

pytestmark = pytest.mark.browser
PAGES = ("profiles", "profiles/edit/notebooks", "profiles/sizes/small", "workspaces",
         "announcements", "maintenance")  # fmt: skip


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    expect.set_options(timeout=30_000)  # the machine may be busy
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def admin(site: Site) -> Guest:
    async def make() -> Guest:
        made = await make_guest(site)
        tables = site.database()
        async with tables.session() as session:
            session.add(RoleGrant(person_id=made.person_id, role=SUPER_ADMIN, granted_by="tests"))
        await tables.close()
        return made

    # the browser's driver runs a loop in this thread already
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, make()).result().sign_in()


@pytest.fixture
def page(browser: Browser, admin: Guest) -> Iterator[Page]:
    """A page as `admin`, in another time zone than UTC; no script may complain."""
    context = browser.new_context(base_url=admin.site.url, timezone_id="Asia/Tokyo")
    context.add_cookies(
        [
            {"name": each.name, "value": each.value or "", "domain": "127.0.0.1", "path": each.path}
            for each in admin.client.cookies.jar
        ]
    )
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on(
        "console",
        lambda said: (
            complaints.append(said.text)
            if said.type == "error" and "the server responded with a status of" not in said.text
            else None
        ),
    )
    yield opened
    context.close()
    assert complaints == []


def test_a_profile_is_previewed_before_it_is_saved(page: Page) -> None:
    page.goto(f"{PORTAL}admin/profiles/edit/notebooks")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("memory: 2048 MiB")
    page.get_by_label("Size", exact=True).select_option("medium")
    page.get_by_role("button", name="Show the preview").click()
    expect(preview).to_contain_text("memory: 4096 MiB")
    page.get_by_label("Small", exact=False).first.uncheck()
    page.get_by_label("Medium", exact=False).first.uncheck()
    page.get_by_role("button", name="Show the preview").click()
    expect(preview.get_by_role("alert")).to_contain_text("Sizes: choose at least one.")


def test_times_are_typed_in_the_own_zone_and_maintenance_counts_down(
    page: Page, admin: Guest
) -> None:
    try:
        page.goto(f"{PORTAL}admin/maintenance")
        page.get_by_label("Begins (your time)").fill("2035-03-02T09:00")
        page.get_by_role("button", name="Set maintenance").click()
        expect(page.locator("[data-ph-countdown]")).to_have_text(re.compile(r"in \d+ days"))
        expect(page.get_by_label("Begins (your time)")).to_have_value("2035-03-02T09:00")
        assert admin.api("GET", "maintenance").json()["begins"].startswith("2035-03-02T00:00")
        page.get_by_role("button", name="Cancel it").click()
        expect(page.locator("[data-ph-maintenance]")).to_have_count(0)
    finally:
        admin.api("PUT", "maintenance", {"on": False})


@pytest.mark.parametrize("path", PAGES)
def test_the_pages_have_no_serious_barrier(page: Page, path: str) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto(f"{PORTAL}admin/{path}")
        if path == "workspaces":
            expect(page.get_by_text("Promised CPU")).to_be_visible()
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    page.set_viewport_size({"width": 390, "height": 844})
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
