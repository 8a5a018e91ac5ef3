"""A running PetriHub as the browser tests see it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page

from tests.platform import PASSWORD, Up

HOME = "/services/portal/"


@dataclass
class Studio:
    """A running PetriHub and the admin's browser session."""

    backend: str
    up: Up
    browser: Browser
    admin: BrowserContext

    @property
    def home(self) -> str:
        """Where everybody's workspaces are."""
        return f"{self.up.url}{HOME}"

    def invitation(self) -> str:
        """A one-time link that the admin makes for somebody new."""
        page = self.admin.new_page()
        page.goto(self.home)
        answer = page.request.post(
            f"{self.home}api/v1/people",
            headers={"X-XSRFToken": page.locator("body").get_attribute("data-xsrf") or ""},
            data={},
        )
        page.close()
        assert answer.status == 201, answer.text()
        link: str = answer.json()["link"]
        return link

    def shot(self, page: Page, name: str, *, settle_ms: int = 0) -> None:
        """Keep a picture, for people to look at, where PETRIHUB_SHOTS says."""
        if folder := os.environ.get("PETRIHUB_SHOTS"):
            page.wait_for_timeout(settle_ms)
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{self.backend}-{name}.png")


def choose_password(page: Page, name: str | None) -> None:
    """Fill in what stands behind a one-time link."""
    if name is not None:
        page.get_by_label("Name", exact=True).fill(name)
    page.locator("#password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name=re.compile("sign in$")).click()
