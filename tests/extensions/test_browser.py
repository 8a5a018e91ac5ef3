"""The tiles, tabs and menus in a real JupyterLab, with Debian's Chromium."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright, expect

from tests.platform import BROWSER_FLAGS, CHROMIUM

TOKEN = "a-token-for-tests"
SECONDS = 1000.0  # Playwright counts in ms
APPS = Path(__file__).parent / "apps"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="apt-get install chromium"),
]


def lab_apps(folder: Path) -> list[dict[str, Any]]:
    def app(id_: str, title: str, *command: str, **more: Any) -> dict[str, Any]:
        return {"id": id_, "title": title, "kind": "web", "command": list(command), **more}

    web = [sys.executable, str(APPS / "web.py"), "{port}", str(folder / "marks")]
    crash = "import sys; print('library is missing'); sys.exit(3)"
    single_cell = {"file_types": [".h5ad"], "needs_file": True, "icon": "cellxgene"}
    return [
        app("hello", "Hello", *web, icon="vscode", summary="Says what it sees"),
        app("crash", "Crash", sys.executable, "-c", crash, icon="shiny"),
        app("viewer", "Viewer", *web, "{file}", **single_cell),
        app("absent", "Absent", "absent", requires=["absent"], missing="Absent is not installed."),
        app("images", "Images", *web, "{file}", file_types=[".tif"], needs_file=True),
    ]


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, serve_in: Callable[..., Any]
) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "home").mkdir()
    for name in ("cells.h5ad", "notes.txt"):
        (folder / "home" / name).write_text("x")
    with serve_in(folder, lab_apps(folder), lab=True) as running:
        yield running


@pytest_asyncio.fixture
async def lab(running: Any, client_of: Callable[..., Any]) -> AsyncIterator[Page]:
    """JupyterLab with a fresh layout; apps are stopped afterwards, and no page error is allowed."""
    errors: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.set_default_timeout(60 * SECONDS)
        expect.set_options(timeout=60 * SECONDS)
        await page.goto(f"{running.url}lab?reset&token={TOKEN}")
        await page.wait_for_selector(".jp-LauncherCard[data-petrihub-app]")
        yield page
        await browser.close()
    client = client_of(running)
    async with client.client:
        for id_ in await client.apps():
            await client.stop(id_)
    assert errors == []


def tile(lab: Page, id_: str) -> Any:
    return lab.locator(f".jp-LauncherCard[data-petrihub-app={id_}]:visible")


def app_frame(lab: Page) -> Any:
    return lab.frame_locator(".petrihub-Frame:visible > iframe")


async def test_the_launcher_has_a_section_apps_with_a_tile_for_each(lab: Page) -> None:
    section = lab.locator(".jp-Launcher-section", has=lab.get_by_role("heading", name="Apps"))
    cards = section.locator(".jp-LauncherCard")
    await expect(cards).to_have_count(5)
    labels = await cards.locator(".jp-LauncherCard-label").all_inner_texts()
    assert [label.strip() for label in labels] == ["Hello", "Crash", "Viewer", "Absent", "Images"]
    pictures = cards.locator("img")
    for picture in await pictures.all():
        await expect(picture).to_have_js_property("complete", True)
        assert await picture.evaluate("image => image.naturalWidth > 0")
    assert await tile(lab, "hello").get_attribute("title") == "Says what it sees"
    await expect(lab.get_by_text("official Jupyter news")).to_have_count(0)


async def test_what_is_not_available_is_grey_says_why_and_does_nothing(lab: Page) -> None:
    absent = tile(lab, "absent")
    await expect(absent).to_have_attribute("aria-disabled", "true")
    await expect(absent).to_have_attribute("title", "Not available: Absent is not installed.")
    await expect(absent).to_contain_text("Not available")
    await expect(absent).to_be_disabled()
    await absent.click(force=True)
    await absent.press("Enter")
    await expect(tile(lab, "hello")).to_be_visible()
    await expect(lab.locator(".petrihub-Tab")).to_have_count(0)


async def test_an_app_opens_in_a_tab_and_its_tile_knows(lab: Page) -> None:
    await tile(lab, "hello").click()
    await expect(app_frame(lab).locator("body")).to_contain_text('"path": "/"')
    await expect(lab.locator(".petrihub-Tab-name:visible")).to_have_text("Hello")
    await lab.keyboard.press("Control+Shift+L")
    await expect(tile(lab, "hello")).to_have_attribute("data-petrihub-state", "ready")
    await tile(lab, "hello").click()
    await expect(lab.locator(".petrihub-Tab")).to_have_count(1)
    await lab.locator(".petrihub-Tab").get_by_role("button", name="Stop the app").click()
    await expect(lab.get_by_role("heading", name="Hello is not running")).to_be_visible()
    await lab.get_by_role("button", name="Start", exact=True).click()
    await expect(app_frame(lab).locator("body")).to_contain_text('"path": "/"')


async def test_a_failure_is_told_with_its_log_and_can_be_tried_again(lab: Page) -> None:
    await tile(lab, "crash").click()
    page = lab.locator(".petrihub-Page:visible")
    await expect(page).to_contain_text("Crash could not be opened")
    await expect(page).to_contain_text("(exit code 3). Its last line: library is missing")
    await page.get_by_role("button", name="Show log").click()
    await expect(page.get_by_label("Log")).to_contain_text("library is missing")
    await page.get_by_role("button", name="Try again").click()
    await expect(page).to_contain_text("Crash could not be opened")
    await lab.keyboard.press("Control+Shift+L")
    await expect(tile(lab, "crash")).to_have_attribute("data-petrihub-state", "failed")
    assert "library is missing" in (await tile(lab, "crash").get_attribute("title") or "")
    await tile(lab, "crash").click()  # leads to the failure and its log, not to a new start
    await expect(page.get_by_label("Log")).to_contain_text("library is missing")


async def test_right_click_offers_the_apps_of_that_file_only(lab: Page) -> None:
    files = lab.locator(".jp-DirListing-item")
    menu = lab.locator(".lm-Menu")
    await files.filter(has_text="notes.txt").click(button="right")
    await expect(menu.get_by_text("Rename")).to_be_visible()
    await expect(menu.get_by_text("Open in Viewer")).to_be_hidden()
    await lab.keyboard.press("Escape")
    await files.filter(has_text="cells.h5ad").click(button="right")
    await expect(menu.get_by_text("Open in Images")).to_be_hidden()
    await menu.get_by_text("Open in Viewer").click()
    await expect(app_frame(lab).locator("body")).to_contain_text("home/cells.h5ad")
    await expect(lab.locator(".petrihub-Tab-name:visible")).to_have_text("Viewer, cells.h5ad")


async def test_an_app_that_needs_a_file_asks_for_one(lab: Page) -> None:
    await tile(lab, "viewer").click()
    dialog = lab.get_by_role("dialog")
    await expect(dialog.get_by_role("radio")).to_have_count(1)
    await dialog.get_by_role("button", name="Open").click()
    await expect(app_frame(lab).locator("body")).to_contain_text("home/cells.h5ad")


async def test_the_chooser_says_what_to_do_when_there_is_no_file(lab: Page) -> None:
    await tile(lab, "images").click()
    dialog = lab.get_by_role("dialog")
    await expect(dialog).to_contain_text("There is no .tif file in your workspace yet.")
    await dialog.get_by_role("button", name="Close").click()
    await expect(lab.locator(".petrihub-Tab")).to_have_count(0)


async def test_the_palette_and_the_panel_of_running_things_know_apps(lab: Page) -> None:
    await lab.keyboard.press("Control+Shift+C")
    await lab.keyboard.type("Hello")
    await lab.locator(".lm-CommandPalette-item", has_text="Hello").first.click()
    await expect(app_frame(lab).locator("body")).to_contain_text('"path": "/"')
    await lab.get_by_role("tab", name="Running Terminals and Kernels").click()
    row = lab.locator(".jp-RunningSessions-item", has_text="Hello").last
    await expect(row).to_be_visible()


async def test_a_tab_comes_back_after_a_reload_without_starting_anything(lab: Page) -> None:
    await tile(lab, "hello").click()
    await expect(app_frame(lab).locator("body")).to_contain_text('"path": "/"')
    await lab.locator(".petrihub-Tab").get_by_role("button", name="Stop the app").click()
    await expect(lab.get_by_role("heading", name="Hello is not running")).to_be_visible()
    saved = lab.expect_response(
        lambda answer: "/api/workspaces/" in answer.url and answer.request.method == "PUT"
    )
    async with saved:
        await lab.keyboard.press("Control+Shift+L")
    await lab.goto(lab.url.partition("?")[0])
    await lab.get_by_role("tab", name="Hello").click()
    await expect(lab.get_by_role("heading", name="Hello is not running")).to_be_visible()
