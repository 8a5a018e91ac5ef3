"""Point 4: the Apps section of the launcher; every app opens, what is missing says why."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.e2e.lab import START_MS, new_workspace, press_start
from tests.e2e.studio import Studio

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

APPS = ("VS Code", "Shiny", "Desktop", "IGV", "ImageJ", "Jalview", "CELLxGENE")


@pytest.fixture(scope="module")
def marie(studio: Studio) -> Page:
    """The admin, at work in a workspace of her own."""
    page = studio.admin.new_page()
    new_workspace(page, studio.home, "bench")
    press_start(page)
    return page


def base(studio: Studio) -> str:
    return f"{studio.up.url}/user/marie/bench"


def states(studio: Studio, page: Page) -> dict[str, dict[str, str]]:
    """The apps by title, as the workspace itself reports them."""
    answer = page.request.get(f"{base(studio)}/petrihub/api/apps")
    return {app["title"]: app for app in answer.json()["apps"]}


def tile(page: Page, title: str):  # type: ignore[no-untyped-def] # Locator
    return page.locator(".jp-Launcher").get_by_role("button", name=re.compile(f"^{title}"))


def test_the_launcher_has_all_tiles_and_the_kernels(studio: Studio, marie: Page) -> None:
    launcher = marie.locator(".jp-Launcher").first
    expect(launcher).to_contain_text("Apps")
    for title in ("Python 3", "Terminal", *APPS):
        expect(launcher).to_contain_text(title)
    if studio.backend == "docker":
        expect(launcher).to_contain_text("R")
        assert {app["state"] for app in states(studio, marie).values()} <= {"stopped", "ready"}
    studio.shot(marie, "tiles")


def test_what_is_not_there_is_greyed_with_the_reason(studio: Studio, marie: Page) -> None:
    absent = {t: app for t, app in states(studio, marie).items() if app["state"] == "unavailable"}
    if studio.backend == "docker":
        assert absent == {}
        return
    assert "CELLxGENE" not in absent
    for title, app in absent.items():
        assert len(app["reason"]) > 20
        grey = marie.locator(".jp-Launcher [aria-disabled=true]", has_text=title).first
        expect(grey).to_be_visible()
        expect(grey).to_have_attribute("title", re.compile(re.escape(app["reason"][:20])))


def _vscode(frame: FrameLocator) -> None:
    expect(frame.locator(".monaco-workbench")).to_be_visible(timeout=START_MS)


def _shiny(frame: FrameLocator) -> None:
    expect(frame.locator(".shiny-plot-output img, .shiny-bound-output img").first).to_be_visible(
        timeout=START_MS
    )


def _desktop(frame: FrameLocator) -> None:
    expect(frame.locator("canvas").first).to_be_visible(timeout=60_000)


@pytest.mark.parametrize(
    ("title", "shows"),
    [
        ("VS Code", _vscode),
        ("Shiny", _shiny),
        ("Desktop", _desktop),
        ("IGV", _desktop),
        ("ImageJ", _desktop),
        ("Jalview", _desktop),
    ],
)
def test_an_app_opens(
    studio: Studio, marie: Page, title: str, shows: Callable[[FrameLocator], None]
) -> None:
    app = states(studio, marie)[title]
    if app["state"] == "unavailable":
        assert studio.backend == "local", "a container has them all"
        # greyed: the test above has seen its reason; the API refuses it too, in words
        return
    marie.goto(f"{base(studio)}/lab?reset")
    marie.locator(".jp-Launcher").wait_for(timeout=60_000)
    marie.locator(".jp-Launcher").get_by_text(title, exact=True).click()
    frame = marie.frame_locator(".lm-DockPanel-widget:not(.lm-mod-hidden) iframe")
    shows(frame)
    wait_until_ready(studio, marie, title)
    studio.shot(marie, f"app-{app['id']}", settle_ms=10_000)


def wait_until_ready(studio: Studio, page: Page, title: str) -> None:
    """Return when the app is ready; the desktop is seen before the program in it is."""
    for _ in range(240):
        app = states(studio, page)[title]
        if app["state"] == "ready":
            return
        assert app["state"] == "starting", app["reason"]
        page.wait_for_timeout(500)
    pytest.fail(f"{title} is still starting")


def wait_until_open(studio: Studio, page: Page, title: str, name: str) -> None:
    """Return when the app says that this file is open in it."""
    for _ in range(240):
        app = states(studio, page)[title]
        instances: list[dict[str, str]] = app["instances"]  # type: ignore[assignment]
        opened = any((i["path"] or "").endswith(name) and i["state"] == "ready" for i in instances)
        if opened:
            return
        assert app["state"] != "failed", app["reason"]
        page.wait_for_timeout(500)
    pytest.fail(f"{name} did not open in {title}: {instances}")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("IGV", "pPCP1_reads.bam"),
        ("IGV", "pPCP1_variants.vcf"),
        ("ImageJ", "cell.tif"),
        ("CELLxGENE", "pbmc68k_reduced.h5ad"),
    ],
)
def test_a_right_click_opens_the_file_in_its_app(
    studio: Studio, marie: Page, title: str, name: str
) -> None:
    if states(studio, marie)[title]["state"] == "unavailable":
        assert studio.backend == "local", "a container has them all"
        return
    marie.goto(f"{base(studio)}/lab/tree/Welcome/Examples?reset")
    marie.locator(".jp-DirListing-item", has_text=name).first.click(button="right", timeout=60_000)
    marie.get_by_role("menuitem", name=f"Open in {title}").click()
    expect(marie.locator(".petrihub-Frame:visible > iframe")).to_be_visible(timeout=START_MS)
    wait_until_open(studio, marie, title, name)
    studio.shot(marie, f"open-{name}", settle_ms=5_000)
