"""Sharing as people see it: two browsers on one notebook, and the pages around it."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.lab import be_patient
from tests.portal.browsing import barriers, enter, newcomer
from tests.portal.guests import PORTAL, Guest, Site
from tests.portal.workspaces import Hub, Inside

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
WORKSPACE = "live"
PATIENCE_MS = 60_000


def shot(page: Page, name: str) -> None:
    """Keep a picture, for people to look at, where PETRIHUB_SHOTS says."""
    if folder := os.environ.get("PETRIHUB_SHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"sharing-{name}.png")


def cell(source: str) -> dict[str, object]:
    return {
        "cell_type": "code",
        "id": "one",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": source,
    }


NOTEBOOK = {
    "type": "notebook",
    "format": "json",
    "content": {
        "cells": [cell("print('seen', 40 + 2)")],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    },
}


@dataclass
class Stage:
    """The owner at work, in a browser and by HTTP."""

    site: Site
    browser: Browser
    owner: Guest
    page: Page
    base: str

    def open(self, page: Page, path: str) -> None:
        page.goto(f"{self.site.url}{self.base}lab/tree/{path}?reset")
        enter = page.get_by_role("button", name="Enter", exact=True)
        expect(page.locator("#jupyterlab-splash, .jp-LabShell").or_(enter).first).to_be_visible(
            timeout=PATIENCE_MS
        )
        if enter.is_visible():
            shot(page, "enter")
            enter.click()

    def notebook(self, page: Page) -> None:
        self.open(page, "live.ipynb")
        expect(page.locator(".jp-NotebookPanel .jp-Cell").first).to_be_visible(timeout=PATIENCE_MS)

    def share(self, guest: Guest, mode: str) -> str:
        answer = self.owner.api(
            "POST",
            f"workspaces/{WORKSPACE}/shares",
            {"kind": "person", "mode": mode, "who": guest.name},
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def read(self, path: str) -> dict[str, object]:
        got: dict[str, object] = (
            Inside(self.owner, self.base).call("GET", f"api/contents/{path}").json()
        )
        return got


def lab_page(context: BrowserContext) -> Page:
    """A tab in which JupyterLab may take its time."""
    page = context.new_page()
    be_patient(page)
    return page


@pytest.fixture(scope="module")
def stage(site: Site, browser: Browser) -> Iterator[Stage]:
    owner = newcomer(site).sign_in()
    Hub(site).start(owner, WORKSPACE)
    inside = Inside(owner, f"/user/{owner.name}/{WORKSPACE}/")
    assert inside.enter().status_code == 200
    assert inside.call("PUT", "api/contents/live.ipynb", json=NOTEBOOK).status_code in (200, 201)
    text = {"type": "file", "format": "text", "content": "one line\n"}
    inside.call("PUT", "api/contents/notes.txt", json=text)
    context = enter(browser, owner)
    made = Stage(site, browser, owner, lab_page(context), inside.base)
    made.notebook(made.page)
    can_run(made.page)
    yield made
    context.close()


def can_run(page: Page) -> None:
    """The page has its session: before, JupyterLab asks for a kernel or runs nothing."""
    expect(page.locator("#jp-main-statusbar")).to_contain_text("Idle", timeout=PATIENCE_MS)


def run_first_cell(page: Page) -> None:
    page.locator(".jp-Cell").first.click()
    page.keyboard.press("Control+Enter")


def test_a_viewer_sees_an_output_appear_and_cannot_run(stage: Stage) -> None:
    bob = newcomer(stage.site).sign_in()
    expect(stage.page.locator(".petrihub-Guests")).to_have_text("Share")
    share = stage.share(bob, "view")
    context = enter(stage.browser, bob)
    page = lab_page(context)
    stage.notebook(page)
    expect(page.locator("#petrihub-banner")).to_contain_text("View only")
    expect(page.locator(".jp-OutputArea-output")).to_have_count(0)
    run_first_cell(page)
    page.wait_for_timeout(1000)
    shot(page, "viewer-tries-to-run")
    expect(page.locator(".jp-OutputArea-output")).to_have_count(0)
    expect(page.locator(".jp-InputPrompt").first).to_have_text("[ ]:")
    expect(page.get_by_role("dialog")).to_have_count(0)
    run_first_cell(stage.page)
    expect(page.locator(".jp-OutputArea-output").first).to_contain_text("seen 42")
    expect(stage.page.locator(".petrihub-Guests")).to_contain_text(bob.name)
    shot(page, "viewer")
    shot(stage.page, "owner")
    page.locator(".jp-Cell .cm-content").first.click()
    page.keyboard.type("broken")
    page.wait_for_timeout(1500)
    assert "broken" not in json.dumps(stage.read("live.ipynb"))
    expect(page.get_by_role("dialog")).to_have_count(0)
    stage.owner.api("DELETE", f"workspaces/{WORKSPACE}/shares/{share}")
    expect(page.get_by_role("dialog")).to_contain_text("You are out")
    shot(page, "viewer-out")
    context.close()


def test_who_works_together_edits_and_the_owner_sees_it(stage: Stage) -> None:
    eve = newcomer(stage.site).sign_in()
    stage.share(eve, "work")
    context = enter(stage.browser, eve)
    page = lab_page(context)
    stage.notebook(page)
    expect(page.locator("#petrihub-banner")).to_contain_text("Working together")
    can_run(page)
    page.locator(".jp-Cell .cm-content").first.click()
    page.keyboard.press("Control+End")
    page.keyboard.type("  # by eve")
    expect(stage.page.locator(".jp-Cell .cm-content").first).to_contain_text("# by eve")
    run_first_cell(page)
    expect(stage.page.locator(".jp-InputPrompt").first).to_have_text("[2]:")
    shot(page, "working-together")
    context.close()


def test_alone_nothing_is_different_files_open_and_are_saved(stage: Stage) -> None:
    page = stage.page
    stage.open(page, "notes.txt")
    editor = page.locator(".jp-FileEditor .cm-content")
    expect(editor).to_contain_text("one line", timeout=PATIENCE_MS)
    editor.click()
    page.keyboard.press("Control+End")
    page.keyboard.type("another line")
    page.keyboard.press("Control+s")
    for _ in range(600):
        if "another line" in str(stage.read("notes.txt")["content"]):
            break
        page.wait_for_timeout(100)
    assert "another line" in str(stage.read("notes.txt")["content"])
    # collaboration leaves nothing of its own in the home, which all workspaces of a person share
    left = {path.name for path in (stage.site.deployment.homes / stage.owner.person_id).rglob("*")}
    assert not left & {".jupyter_ystore.db", "file_id_manager.db", "collaboration_sessions.json"}


def test_the_page_says_it_all_and_the_link_leads_in(stage: Stage) -> None:
    context = enter(stage.browser, stage.owner)
    page = context.new_page()
    page.goto(f"{stage.site.url}{PORTAL}workspaces/{WORKSPACE}/sharing")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Share {WORKSPACE}")
    shot(page, "page")
    assert barriers(page) == []
    page.get_by_label("A person").check()
    page.get_by_label("Name with which they sign in").fill("nobody-here")
    page.get_by_role("button", name="Let in").click()
    expect(page.locator("main")).to_contain_text("There is nobody called")
    shot(page, "page-refused")
    page.get_by_label("Anyone with a link").check()
    page.get_by_role("button", name="Let in").click()
    link = page.get_by_label("Link to this workspace").input_value()
    assert re.search(r"/services/portal/join#[\w-]{43}$", link)
    shot(page, "page-link")
    page.set_viewport_size({"width": 390, "height": 844})
    shot(page, "page-phone")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 1360, "height": 1200})
    shot(page, "page-dark")

    carl = newcomer(stage.site).sign_in()
    theirs = enter(stage.browser, carl)
    tab = theirs.new_page()
    tab.goto(link)
    assert "#" not in tab.url
    shot(tab, "join")
    tab.get_by_role("button", name=f"Join as {carl.name}").click()
    expect(tab.get_by_role("heading", level=1)).to_contain_text("You are let into live")
    shot(tab, "joined")
    page.reload()
    expect(page.locator("main")).to_contain_text(f"Came by it: {carl.name}")
    theirs.close()
    context.close()


def test_a_stopped_workspace_says_whom_to_ask(stage: Stage) -> None:
    dan = newcomer(stage.site).sign_in()
    stage.share(dan, "work")
    hub = Hub(stage.site)
    hub.client.delete(f"users/{stage.owner.name}/servers/{WORKSPACE}")
    for _ in range(100):
        if not hub.client.get(f"users/{stage.owner.name}").json().get("servers"):
            break
        stage.page.wait_for_timeout(200)
    context = enter(stage.browser, dan)
    page = context.new_page()
    page.goto(f"{stage.site.url}{stage.base}")
    expect(page.locator("main")).to_contain_text(f"Only {stage.owner.name} can start it")
    expect(page.get_by_role("button", name="Start")).to_have_count(0)
    shot(page, "stopped")
    refused = hub.client.get(f"users/{stage.owner.name}").json()
    assert not refused.get("servers")
    page.goto(f"{stage.site.url}/hub/spawn/{stage.owner.name}/{WORKSPACE}")
    assert hub.client.get(f"users/{stage.owner.name}").json().get("servers") in ({}, None)
    context.close()
