"""The frame that all pages share: theme, menus, keyboard, reading order, policy, files."""

import http.client
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from petrihub_core.web import size_words, template_paths
from petrihub_core.web.assets import STATIC

Visit = Callable[..., Page]
PATHS = [
    "/hub/home",
    "/hub/spawn/{person}/desk",
    "/hub/spawn",
    "/hub/nowhere",
    "/hub/user/{person}/desk/lab",
]

# what a screen reader needs: a name for every control, one h1, no id twice, headings without gaps
BASICS = """() => {
  const found = [];
  const shown = (e) => e.checkVisibility({ checkVisibilityCSS: true });
  if (document.documentElement.lang !== "en") found.push("no language");
  if (!document.title.includes("PetriHub")) found.push("title: " + document.title);
  const ones = [...document.querySelectorAll("h1")].filter(shown);
  if (ones.length !== 1) found.push(ones.length + " h1");
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push("id twice: " + id);
  for (const e of document.querySelectorAll("[aria-describedby], [aria-labelledby], label[for]")) {
    const to = e.getAttribute("aria-describedby") ?? e.getAttribute("aria-labelledby") ?? e.htmlFor;
    for (const id of to.split(" ")) if (!ids.includes(id)) found.push("points nowhere: " + id);
  }
  let level = 0;
  for (const e of document.querySelectorAll("h1, h2, h3")) {
    if (!shown(e)) continue;
    const now = Number(e.tagName[1]);
    if (now > level + 1) found.push("heading skips a level: " + e.textContent);
    level = now;
  }
  const controls = "input:not([type=hidden]), select, button, a[href], summary";
  for (const e of document.querySelectorAll(controls)) {
    if (!shown(e)) continue;
    const label = e.getAttribute("aria-label") || e.labels?.[0]?.textContent;
    const name = (label || e.textContent).trim();
    if (!name) found.push("no name: " + e.outerHTML.slice(0, 80));
  }
  for (const e of document.querySelectorAll("svg")) {
    if (e.getAttribute("aria-hidden") !== "true") found.push("an icon is read out");
  }
  if (document.querySelector("script:not([src])")) found.push("inline script");
  if (document.querySelector("[style], [onclick], [onload]")) found.push("inline style or handler");
  if (document.documentElement.scrollWidth > window.innerWidth) found.push("wider than the window");
  return found;
}"""

# the lowest contrast of any shown text with its nearest solid ground, by WCAG's formula
CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = ([r, g, b]) => {
    const part = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map((c) => part(c / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true })) continue;
    if (e.closest(".visually-hidden, .ph-skip")) continue;
    let ground = e;
    const solid = (e) => rgba(getComputedStyle(e).backgroundColor)[3] > 250;
    while (ground && !solid(ground)) ground = ground.parentElement;
    const a = light(rgba(getComputedStyle(e).color));
    const b = light(rgba(getComputedStyle(ground ?? document.body).backgroundColor));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(ratio.toFixed(2) + ": " + e.textContent.trim().slice(0, 40));
  }
  return found;
}"""


FOCUSED = """() => {
  const e = document.activeElement;
  return (e.ariaLabel || e.innerText || e.id).trim();
}"""


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_every_page_can_be_read_and_operated(hub, visit: Visit, theme: str, width: int) -> None:
    person = f"{theme}{width}"
    page = visit(
        person,
        "/hub/home",
        color_scheme=theme,
        viewport={"width": width, "height": 800},
        reduced_motion="reduce",
    )
    for path in [*PATHS, "/hub/logout"]:
        page.goto(hub.url + path.format(person=person))
        assert (path, page.locator("html").get_attribute("data-bs-theme")) == (path, theme)
        assert (path, page.evaluate(BASICS)) == (path, [])
        assert (path, page.evaluate(CONTRAST)) == (path, [])


@pytest.mark.browser
def test_the_theme_is_chosen_kept_and_given_back_to_the_system(hub, visit: Visit) -> None:
    page = visit("theo", "/hub/home", color_scheme="light")
    html = page.locator("html")
    expect(html).to_have_attribute("data-bs-theme", "light")
    toggle = page.get_by_label("Colour theme").first
    toggle.click()
    expect(page.get_by_role("button", name="As the system")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.get_by_role("button", name="Dark").click()
    expect(html).to_have_attribute("data-bs-theme", "dark")
    expect(toggle).to_be_focused()
    page.reload()
    expect(html).to_have_attribute("data-bs-theme", "dark")
    toggle.click()
    page.get_by_role("button", name="As the system").click()
    expect(html).to_have_attribute("data-bs-theme", "light")
    page.emulate_media(color_scheme="dark")
    expect(html).to_have_attribute("data-bs-theme", "dark")


@pytest.mark.browser
def test_the_keyboard_goes_from_the_skip_link_through_the_bar_to_the_page(
    hub, visit: Visit
) -> None:
    page = visit("kay", "/hub/home")
    names = []
    for _ in range(5):
        page.keyboard.press("Tab")
        names.append(page.evaluate(FOCUSED))
    assert names == [
        "Skip to content",
        "PetriHub home",
        "Home",
        "Colour theme",
        "kay",
    ]
    page.locator("#ph-user summary").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Sign out")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Sign out")).to_be_hidden()
    page.reload()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


@pytest.mark.browser
def test_the_way_to_the_admin_panel_is_shown_to_who_may(hub, visit: Visit) -> None:
    page = visit("lea", "/hub/home")
    expect(page.get_by_role("link", name="Admin", exact=True)).to_have_count(0)
    page = visit("grace", "/hub/home")
    expect(page.get_by_role("link", name="Admin", exact=True)).to_have_attribute(
        "href", "/services/portal/admin"
    )


@pytest.mark.browser
def test_an_address_that_does_not_exist_is_explained(hub, visit: Visit) -> None:
    page = visit("ned", "/hub/nowhere")
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing is here")
    page.get_by_role("link", name="Go to workspaces").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Workspaces")
    for name in ("one", "two", "three", "four"):
        page.goto(f"{hub.url}/hub/spawn/ned/{name}")
    expect(page.get_by_text("as many workspaces as you may")).to_be_visible()
    page.goto(f"{hub.url}/hub/spawn/somebody-else/one")
    expect(page.get_by_role("link", name="Go to workspaces")).to_be_visible()


def ask(hub, path: str) -> http.client.HTTPResponse:
    """The answer to exactly this path: no client tidies its dots away."""
    connection = http.client.HTTPConnection(urlsplit(hub.url).netloc, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_static_files_are_kept_by_version_and_asked_for_again_without(hub) -> None:
    first = ask(hub, "/hub/petrihub/static/css/tokens.css?v=1")
    assert first.status == 200
    assert first.headers["Content-Type"].startswith("text/css")
    assert "immutable" in first.headers["Cache-Control"]
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    assert ask(hub, "/hub/petrihub/static/js/hub.js").headers["Cache-Control"] == "no-cache"
    assert (
        ask(hub, "/hub/petrihub/static/img/logo.svg")
        .headers["Content-Type"]
        .startswith("image/svg")
    )


@pytest.mark.parametrize(
    "path",
    [
        "../assets.py",
        "..%2fassets.py",
        "css/../../assets.py",
        "%2e%2e/templates/page.html",
        "%2fetc/passwd",
        "//etc/passwd",
        "css",
        "css/",
        "",
        "css/tokens.css%00.js",
        "css/nothing.css",
    ],
)
def test_static_serves_nothing_else(hub, path: str) -> None:
    assert ask(hub, f"/hub/petrihub/static/{path}").status in {400, 403, 404}


def test_a_link_out_of_the_static_folder_is_not_followed(hub) -> None:
    link = STATIC / "css" / "outside.css"
    link.symlink_to(Path(__file__))
    try:
        assert ask(hub, "/hub/petrihub/static/css/outside.css").status == 404
    finally:
        link.unlink()


def test_words_of_a_size() -> None:
    assert size_words(1, 2) == "1 CPU core, 2 GiB memory"
    assert size_words(0.5, 1.5) == "0.5 CPU cores, 1.5 GiB memory"
    assert all(Path(folder, "page.html").is_file() for folder in template_paths())
