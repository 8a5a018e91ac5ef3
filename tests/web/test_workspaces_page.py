"""The Workspaces page: first visit, start, stop, delete, the limit, news without reload."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]


def make(page: Page, title: str, profile: str = "Notebooks") -> None:
    """From the Workspaces page through the start page; ends where the start leads."""
    page.get_by_label("Name of the new workspace").fill(title)
    page.get_by_role("button", name="New workspace").click()
    page.get_by_label(profile, exact=True).check()
    page.get_by_role("button", name="Start", exact=True).click()


def row(page: Page, title: str):
    return page.get_by_role("listitem").filter(
        has=page.get_by_role("heading", name=title, exact=True)
    )


def test_a_newcomer_reads_what_to_do_first(hub, visit: Visit) -> None:
    page = visit("newcomer", "/hub/home")
    expect(page.get_by_role("heading", level=1)).to_have_text("Workspaces")
    expect(page.get_by_role("heading", name="Set up your first workspace")).to_be_visible()
    expect(page.locator("#ph-count")).to_have_text("0 of 3 workspaces")
    expect(page.get_by_text("Start My Server")).to_have_count(0)
    page.get_by_role("button", name="New workspace").click()
    expect(page.get_by_role("alert")).to_contain_text("Give the workspace a name")
    expect(page.get_by_label("Name of the new workspace")).to_be_focused()


def test_a_workspace_from_its_name_to_its_end(hub, visit: Visit) -> None:
    page = visit("ana", "/hub/home")
    make(page, "RNA study 2")
    expect(page.get_by_role("heading", name="The workspace")).to_be_visible()
    assert "/user/ana/rna-study-2/" in page.url

    page.goto(f"{hub.url}/hub/home")
    card = row(page, "RNA study 2")
    expect(card).to_contain_text("Running")
    expect(card).to_contain_text("Notebooks · Medium (2 CPU cores, 4 GiB memory)")
    expect(card).to_contain_text(re.compile("started (just now|.* ago)"))
    assert (
        card.get_by_role("link", name="Open RNA study 2").get_attribute("href")
        == "/user/ana/rna-study-2/"
    )

    page.evaluate("window.stillHere = true")
    hub.hold("rna-study-2", "stop")
    card.get_by_role("button", name="Stop RNA study 2").click()
    expect(card).to_contain_text("Stopping")
    hub.release("rna-study-2", "stop")
    expect(card).to_contain_text("Stopped")
    expect(page.locator("#ph-live")).to_have_text("RNA study 2 has stopped.")

    card.get_by_role("button", name="Delete RNA study 2").click()
    dialog = page.get_by_role("dialog", name="Delete RNA study 2?")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(card).to_be_visible()
    card.get_by_role("button", name="Delete RNA study 2").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Set up your first workspace")).to_be_visible()
    expect(page.locator("#ph-count")).to_have_text("0 of 3 workspaces")
    assert page.evaluate("window.stillHere"), "the page was loaded again"


def test_a_stopped_workspace_starts_with_its_last_choices(hub, visit: Visit) -> None:
    page = visit("bea", "/hub/home")
    make(page, "again", "Bio studio")
    expect(page.get_by_role("heading", name="The workspace")).to_be_visible()
    page.goto(f"{hub.url}/hub/home")
    card = row(page, "again")
    card.get_by_role("button", name="Stop again").click()
    expect(card).to_contain_text("Stopped")
    card.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("heading", name="The workspace")).to_be_visible()
    page.goto(f"{hub.url}/hub/home")
    expect(card).to_contain_text("Bio studio · Medium (2 CPU cores, 4 GiB memory)")


def test_a_pending_start_is_followed_without_loading_again(hub, visit: Visit) -> None:
    page = visit("cleo", "/hub/home")
    hub.hold("slow", "preparing")
    make(page, "slow")
    expect(page.get_by_role("heading", name="Starting slow")).to_be_visible()
    page.goto(f"{hub.url}/hub/home")
    card = row(page, "slow")
    expect(card).to_contain_text("Starting")
    page.evaluate("window.stillHere = true")
    page.get_by_label("Name of the new workspace").fill("typed mean")
    card.get_by_role("link", name="Show the progress of slow").focus()
    hub.release("slow", "preparing")
    expect(card).to_contain_text("Running")
    expect(card.get_by_role("link", name="Open slow")).to_be_focused()
    expect(page.get_by_label("Name of the new workspace")).to_have_value("typed mean")
    assert page.evaluate("window.stillHere")


def test_a_failed_start_says_why_and_can_be_tried_again(hub, visit: Visit) -> None:
    page = visit("dora", "/hub/home")
    hub.hold("fragile", "starting")
    make(page, "fragile", "Preview")
    expect(page.get_by_role("heading", name="Starting fragile")).to_be_visible()
    page.goto(f"{hub.url}/hub/home")
    hub.release("fragile", "starting")
    card = row(page, "fragile")
    expect(card).to_contain_text("Failed to start")
    expect(card).to_contain_text("The image petrihub/preview is not on this machine.")
    expect(card.get_by_role("button", name="Try again")).to_be_visible()


def test_at_the_limit_the_page_says_so(hub, visit: Visit) -> None:
    page = visit("eva", "/hub/home")
    for name in ("one", "two", "three"):
        page.goto(f"{hub.url}/hub/spawn/eva/{name}")
    page.goto(f"{hub.url}/hub/home")
    expect(page.locator("#ph-count")).to_have_text("3 of 3 workspaces")
    button = page.get_by_role("button", name="New workspace")
    expect(button).to_be_disabled()
    expect(button).to_have_accessible_description(re.compile("Delete one that you no longer need"))
    expect(row(page, "one")).to_contain_text("Not started yet")
    row(page, "one").get_by_role("button", name="Delete one").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#ph-count")).to_have_text("2 of 3 workspaces")
    expect(button).to_be_enabled()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("   ", "Give the workspace a name"),
        ("2024", "at least one letter"),
        ("Twice!", "already have a workspace"),
    ],
)
def test_a_name_that_does_not_work_is_refused_beside_the_field(
    hub, visit: Visit, typed: str, words: str
) -> None:
    page = visit("fay", "/hub/spawn/fay/twice")
    page.goto(f"{hub.url}/hub/home")
    page.get_by_label("Name of the new workspace").fill(typed)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text(words)
    assert page.url.endswith("/hub/home")
