"""The browser tests' fixtures.

browser    Chromium, for one test file
studio     a whole PetriHub on one backend with its first admin signed up, for one test file
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from tests.platform import BROWSER_FLAGS, PASSWORD, Up, free_port, start_up

START_MS = 180_000  # a first start on a busy machine; waiting ends as soon as it is ready


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        yield launched
        launched.close()


@dataclass
class Studio:
    """A running PetriHub and the admin's browser session."""

    backend: str
    up: Up
    browser: Browser
    admin: BrowserContext

    def shot(self, page: Page, name: str) -> None:
        """Keep a picture, for people to look at, where PETRIHUB_SHOTS says."""
        if folder := os.environ.get("PETRIHUB_SHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{self.backend}-{name}.png")


def choose_password(page: Page, name: str | None) -> None:
    """Fill in what stands behind a one-time link."""
    if name is not None:
        page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.locator("form button[type=submit]").first.click()


def backends() -> list[object]:
    return ["local", pytest.param("docker", marks=pytest.mark.docker)]


@pytest.fixture(scope="module", params=backends())
def studio(
    request: pytest.FixtureRequest, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Studio]:
    run = start_up(tmp_path_factory.mktemp("studio") / "state", request.param, free_port())
    context = browser.new_context(viewport={"width": 1360, "height": 850})
    page = context.new_page()
    page.goto(run.first_admin)
    choose_password(page, "marie")
    expect(page).to_have_url(re.compile("/hub/home"))
    yield Studio(request.param, run, browser, context)
    context.close()
    assert run.interrupt() == 0
