"""Profiles, maintenance and running workspaces in a real browser: what needs its scripts."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.portal.browsing import barriers
from tests.portal.conftest import Visit
from tests.portal.guests import PORTAL, Guest

pytestmark = pytest.mark.browser
PAGES = ("profiles", "profiles/edit/notebooks", "profiles/sizes/small", "workspaces",
         "announcements", "maintenance")  # fmt: skip


@pytest.fixture
def page(visit: Visit, admin: Guest) -> Page:
    """A page as `admin`, in another time zone than UTC."""
    return visit(admin, timezone_id="Asia/Tokyo")


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
        assert barriers(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
