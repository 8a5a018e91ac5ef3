"""Every page that a super admin can see, looked at by axe-core in both themes, and by keyboard.

The pages come from the route table; those with something in their address are found by the links
that the other pages show.
"""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.records import Account, Person, RoleGrant, new_id
from petrihub_core.roles import SUPER_ADMIN
from petrihub_portal.areas import AREAS
from petrihub_portal.routing import API, Open

from tests.platform import BROWSER_FLAGS
from tests.portal.guests import PORTAL, Guest, Site

pytestmark = pytest.mark.browser

PAGES = [
    rule.path
    for area in AREAS
    for rule, _, _ in area.routes
    if rule.method == "GET" and not rule.path.startswith(API) and rule.needs is not Open.EVERYBODY
]
# what a wheel of a mouse can read must be reachable by keyboard; colours must be told apart
WORST = ("serious", "critical")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def boss(site: Site, password_hash: str) -> Guest:
    """A super admin; the browser's driver runs a loop in this thread, so ours gets another."""

    async def make() -> Guest:
        tables = site.database()
        async with tables.session() as session:
            person = Person(issuer=LOCAL_ISSUER, subject=new_id(), username=f"x{new_id()[:10]}")
            session.add(person)
            await session.flush()
            session.add(Account(person_id=person.id, password_hash=password_hash))
            session.add(RoleGrant(person_id=person.id, role=SUPER_ADMIN, granted_by="tests"))
        await tables.close()
        return Guest(site, person.id, person.username)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, make()).result()


def entered(browser: Browser, guest: Guest) -> BrowserContext:
    """A browser with the guest's session."""
    guest.xsrf or guest.sign_in()
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.add_cookies(
        [
            {"name": each.name, "value": each.value or "", "domain": "127.0.0.1", "path": each.path}
            for each in guest.client.cookies.jar
        ]
    )
    return context


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


def violations(page: Page) -> list[str]:
    result = Axe().run(page, options={"resultTypes": ["violations"]})
    return [
        f"{each['id']} at {', '.join(str(node['target']) for node in each['nodes'][:3])}"
        for each in result.response["violations"]
        if each["impact"] in WORST
    ]


@pytest.fixture
def boss_page(browser: Browser, boss: Guest) -> Iterator[Page]:
    context = entered(browser, boss)
    yield context.new_page()
    context.close()


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


def test_no_page_keeps_anybody_out(boss_page: Page, boss: Guest) -> None:
    home = boss.site.url + PORTAL
    found = []
    seen = 0
    for path in every_page(boss_page, home):
        seen += 1
        for theme in ("light", "dark"):
            boss_page.emulate_media(color_scheme=theme)
            boss_page.evaluate("theme => document.documentElement.dataset.bsTheme = theme", theme)
            found += [f"{path} ({theme}): {each}" for each in violations(boss_page)]
    assert found == []
    assert seen >= 8


def test_the_keyboard_skips_the_menus_and_shows_where_it_is(boss_page: Page, boss: Guest) -> None:
    boss_page.goto(boss.site.url + PORTAL + "admin/audit")
    boss_page.keyboard.press("Tab")
    skip = boss_page.locator(":focus")
    assert skip.inner_text() == "Skip to content"
    assert skip.evaluate("each => each.getBoundingClientRect().top >= 0")
    boss_page.keyboard.press("Enter")
    boss_page.keyboard.press("Tab")
    for _ in range(12):
        focus = boss_page.locator(":focus")
        inside = focus.evaluate("each => document.getElementById('main').contains(each)")
        ring = focus.evaluate(
            "each => { const s = getComputedStyle(each); "
            "return s.outlineStyle !== 'none' || s.boxShadow !== 'none' }"
        )
        assert inside
        assert ring, focus.evaluate("each => each.outerHTML.slice(0, 200)")
        boss_page.keyboard.press("Tab")
