"""Every page that a super admin can see, looked at by axe-core in both themes, and by keyboard.

The pages come from the route table; those with something in their address are found by the links
that the other pages show.
"""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page

from petrihub_portal.areas import AREAS
from petrihub_portal.routing import API, Open

from tests.portal.browsing import barriers
from tests.portal.conftest import Visit
from tests.portal.guests import PORTAL, Guest

pytestmark = pytest.mark.browser

PAGES = [
    rule.path
    for area in AREAS
    for rule, _, _ in area.routes
    if rule.method == "GET" and not rule.path.startswith(API) and rule.needs is not Open.EVERYBODY
]


def linked(page: Page) -> set[str]:
    """Addresses below the portal that this page links to, without their query."""
    found = page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)")
    paths = {urlsplit(each).path for each in found}
    return {each.removeprefix(PORTAL.rstrip("/")) for each in paths if each.startswith(PORTAL)}


def shape(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(path)))


def is_page(page: Page, url: str) -> bool:
    """Go there; whether it is a whole page rather than a part of one or a file."""
    answer = page.goto(url)
    return bool(answer and answer.ok) and page.locator("main#main").count() == 1


@pytest.fixture
def admin_page(visit: Visit, admin: Guest) -> Page:
    return visit(admin)


def every_page(page: Page, home: str) -> Iterator[str]:
    """Visit every page of the table, one after the other."""
    links: set[str] = set()
    for path in (each for each in PAGES if "{" not in each):
        if is_page(page, home + path.lstrip("/")):
            links |= linked(page)
            yield path
    for path in (each for each in PAGES if "{" in each):
        example = next((each for each in sorted(links) if shape(path).fullmatch(each)), None)
        if example and example not in PAGES and is_page(page, home + example.lstrip("/")):
            yield path


def test_no_page_keeps_anybody_out(admin_page: Page, admin: Guest) -> None:
    home = admin.site.url + PORTAL
    found = []
    seen = 0
    for path in every_page(admin_page, home):
        seen += 1
        for theme in ("light", "dark"):
            admin_page.emulate_media(color_scheme=theme)
            admin_page.evaluate("theme => document.documentElement.dataset.bsTheme = theme", theme)
            found += [f"{path} ({theme}): {each}" for each in barriers(admin_page)]
    assert found == []
    assert seen >= 8


def test_the_keyboard_skips_the_menus_and_shows_where_it_is(admin_page: Page, admin: Guest) -> None:
    admin_page.goto(admin.site.url + PORTAL + "admin/audit")
    admin_page.keyboard.press("Tab")
    skip = admin_page.locator(":focus")
    assert skip.inner_text() == "Skip to content"
    assert skip.evaluate("each => each.getBoundingClientRect().top >= 0")
    admin_page.keyboard.press("Enter")
    admin_page.keyboard.press("Tab")
    for _ in range(12):
        focus = admin_page.locator(":focus")
        inside = focus.evaluate("each => document.getElementById('main').contains(each)")
        ring = focus.evaluate(
            "each => { const s = getComputedStyle(each); "
            "return s.outlineStyle !== 'none' || s.boxShadow !== 'none' }"
        )
        assert inside
        assert ring, focus.evaluate("each => each.outerHTML.slice(0, 200)")
        admin_page.keyboard.press("Tab")
