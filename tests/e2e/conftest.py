"""The browser tests' fixtures.

browser    Chromium, for one test file
studio     a whole PetriHub on one backend with its first admin signed up, for one test file
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.e2e.studio import Studio, choose_password
from tests.platform import BROWSER_FLAGS, free_port, start_up


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        yield launched
        launched.close()


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
