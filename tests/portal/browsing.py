"""Chromium as somebody at the portal, and looks at a page from all sides."""

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from petrihub_core.records import RoleGrant

from tests.portal.guests import PORTAL, Guest, Site
from tests.portal.workspaces import make_guest

Result = TypeVar("Result")
SIZE = {"width": 1200, "height": 800}
VIEWS = {"light": ("light", 1200), "phone-dark": ("dark", 390)}


def wait_for(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine: the browser's driver runs a loop in this thread already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def newcomer(site: Site, *roles: str, kind: type[Guest] = Guest) -> Guest:
    """Somebody new with these roles, not signed in yet."""

    async def make() -> Guest:
        made = await make_guest(site, kind=kind)
        tables = site.database()
        async with tables.session() as session:
            for role in roles:
                session.add(RoleGrant(person_id=made.person_id, role=role, granted_by="tests"))
        await tables.close()
        return made

    return wait_for(make())


def enter(browser: Browser, guest: Guest, **more: Any) -> BrowserContext:
    """A browser with the guest's session."""
    guest.xsrf or guest.sign_in()
    # a colour on its way to another one has a contrast of its own
    options = {"viewport": SIZE, "reduced_motion": "reduce", "base_url": guest.site.url, **more}
    context = browser.new_context(**options)
    context.add_cookies(
        [
            {"name": each.name, "value": each.value or "", "url": guest.site.url + each.path}
            for each in guest.client.cookies.jar
        ]
    )
    return context


def listen(page: Page, complaints: list[str]) -> None:
    """Take down what scripts of the portal's pages complain of; JupyterLab's are not ours."""

    def hear(message: ConsoleMessage) -> None:
        ours = PORTAL in message.location["url"] and message.type in ("error", "warning")
        if ours and "with a status of" not in message.text:  # a status is no failed script
            complaints.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)) if PORTAL in page.url else 0)


def barriers(page: Page) -> list[str]:
    """Serious violations of accessibility (axe-core)."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{each['id']} at {', '.join(str(node['target']) for node in each['nodes'][:3])}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def look_at(page: Page, name: str) -> None:
    """No barrier and no sideways scrolling in all views; pictures where PETRIHUB_SHOTS says."""
    for view, (scheme, width) in VIEWS.items():
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
        if folder := os.environ.get("PETRIHUB_SHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{name}-{view}.png", full_page=True)
        assert barriers(page) == [], (name, view)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": SIZE["width"], "height": SIZE["height"]})
