"""The whole story of signing in, in Chromium: first link, invitation, sign out, sign in again.

`PETRIHUB_TEST_SHOTS` names a folder for screenshots; without it none are made.
"""

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from petrihub_authenticators import accounts, bootstrap, links
from petrihub_authenticators.accounts import Newcomer
from petrihub_core.roles import Actor

from tests.authenticators.conftest import ANY_PAGE, actor_of
from tests.platform import BROWSER_FLAGS

pytestmark = pytest.mark.browser
PASSWORD = "correct zebra paper clip"
SHOTS = os.environ.get("PETRIHUB_TEST_SHOTS")


@pytest.fixture
def first_link(fresh_hub) -> str:
    """Made before the browser starts: Playwright then has a loop of its own running."""
    return asyncio.run(bootstrap.first_admin_link(fresh_hub.deployment))


@pytest.fixture
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        yield running
        running.close()


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """What the browsers' consoles say; it must be nothing."""
    said: list[str] = []
    yield said
    assert said == []


def open_page(browser: Browser, complaints: list[str]) -> Page:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()

    def note(kind: str, words: str) -> None:
        # a refused form is an answer with status 4xx, which Chromium writes into the console
        if "the server responded with a status of 4" not in words:
            complaints.append(f"{page.url}: {kind}: {words}")

    page.on(
        "console", lambda line: line.type in ("error", "warning") and note(line.type, line.text)
    )
    page.on("pageerror", lambda error: note("exception", str(error)))
    return page


def shot(page: Page, name: str) -> None:
    """Screenshots in both themes and on a phone, if somebody wants to look."""
    if not SHOTS:
        return
    wide = page.viewport_size
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.screenshot(
            path=Path(SHOTS) / f"auth-{name}-{theme}.png", full_page=True, animations="disabled"
        )
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 800})
    page.screenshot(
        path=Path(SHOTS) / f"auth-{name}-narrow.png", full_page=True, animations="disabled"
    )
    page.set_viewport_size(wide)


def join(page: Page, link: str, name: str, shown: str) -> None:
    page.goto(link)
    expect(page.get_by_role("heading", level=1)).to_have_text(shown)
    assert "#" not in page.url, "the code does not stay in the address"
    field = page.get_by_label("Name", exact=True)
    if field.is_editable():
        field.fill(name)
    page.get_by_label(re.compile("^(New p|P)assword$")).fill(PASSWORD)
    page.get_by_label("The same again").fill("something else")
    page.get_by_role("button", name="and sign in").click()
    assert "/welcome" in page.url, "two different passwords are not sent"
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="and sign in").click()
    page.wait_for_url("**/hub/services/portal/")


def signed_in(page: Page, hub, name: str) -> None:
    """The hub knows this browser as `name`; the portal does not run here."""
    page.goto(f"{hub.url}/hub/{ANY_PAGE}")
    expect(page.locator("body")).to_have_attribute("data-user", name)


def link_by(hub, deed: Callable[[Actor], tuple[Any, ...]]) -> str:
    """The link that `boss` gets for this deed, made in a thread: Playwright has this one's loop."""

    async def make() -> str:
        database = hub.database()
        actor = await actor_of(database, "boss")
        change, *arguments = deed(actor)
        async with database.session() as session:
            code = await change(session, *arguments)
        await database.close()
        return links.address_of(hub.url, code)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, make()).result()


def be_the_first(boss: Page, hub, link: str) -> None:
    boss.goto(f"{hub.url}/hub/welcome")
    shot(boss, "welcome-code")
    boss.goto("about:blank")
    boss.goto(link)
    expect(boss.get_by_role("heading", level=1)).to_have_text("Become the first administrator")
    shot(boss, "welcome-first-admin")
    boss.goto("about:blank")
    join(boss, link, "Boss", "Become the first administrator")


def sign_in_again(ada: Page, hub) -> None:
    ada.goto(f"{hub.url}/hub/logout")
    ada.goto(f"{hub.url}/hub/login")
    name, password = ada.get_by_label("Name"), ada.get_by_label("Password", exact=True)
    name.fill("ADA")
    password.fill("not the password")
    ada.get_by_role("button", name="Show the password").click()
    expect(password).to_have_attribute("type", "text")
    ada.get_by_role("button", name="Sign in").click()
    expect(ada.get_by_role("alert")).to_contain_text("name or the password is wrong")
    expect(name).to_have_value("ADA")
    shot(ada, "login-wrong")
    password.fill(PASSWORD)
    ada.keyboard.press("Enter")
    ada.wait_for_url("**/hub/services/portal/")
    signed_in(ada, hub, "ada")


def test_from_the_first_link_to_a_second_person(
    fresh_hub, first_link: str, browser: Browser, complaints: list[str]
) -> None:
    """How people are invited at the portal is shown by the portal's own tests."""
    boss, ada = open_page(browser, complaints), open_page(browser, complaints)
    be_the_first(boss, fresh_hub, first_link)
    signed_in(boss, fresh_hub, "boss")
    invitation = link_by(fresh_hub, lambda actor: (accounts.add, actor, Newcomer()))
    join(ada, invitation, "Ada", "Create your account")
    signed_in(ada, fresh_hub, "ada")
    ada.goto(invitation)
    expect(ada.get_by_role("alert")).to_contain_text("used already")
    shot(ada, "welcome-used")
    sign_in_again(ada, fresh_hub)
    reset = link_by(fresh_hub, lambda actor: (accounts.new_link, actor, "ada"))
    ada.goto("about:blank")
    join(ada, reset, "ada", "Choose a new password")
    signed_in(ada, fresh_hub, "ada")


def test_with_the_keyboard_alone(
    fresh_hub, first_link: str, browser: Browser, complaints: list[str]
) -> None:
    page = open_page(browser, complaints)
    page.goto(f"{fresh_hub.url}/hub/welcome")
    page.get_by_label("Paste your code").focus()
    page.keyboard.type(first_link)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type("boss")
    for expected in ("Password", "The same again"):
        while page.evaluate("document.activeElement.labels?.[0]?.textContent") != expected:
            page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/hub/services/portal/")
    page.goto(f"{fresh_hub.url}/hub/logout")
    expect(page.get_by_label("Name")).to_be_focused()
    shot(page, "login")
