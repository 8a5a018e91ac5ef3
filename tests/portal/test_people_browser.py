"""Inviting, importing, finding, promoting and shutting out people, in a real browser."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from petrihub_core.records import new_id

from tests.platform import PASSWORD
from tests.portal.browsing import look_at
from tests.portal.conftest import Visit
from tests.portal.guests import PORTAL, Guest

pytestmark = pytest.mark.browser


@pytest.fixture
def page(visit: Visit, admin: Guest) -> Page:
    """The list of people, as `admin`."""
    return visit(admin, "admin/people")


def find(page: Page, name: str) -> None:
    page.goto(f"{PORTAL}admin/people")
    page.get_by_label("Search").fill(name)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=re.compile("found$"))).to_be_visible()


def test_a_colleague_is_invited_by_keyboard_and_comes_in(page: Page, browser: Browser) -> None:
    page.get_by_role("link", name="Invite somebody").focus()
    page.keyboard.press("Enter")
    name = f"w{new_id()[:8]}"
    page.get_by_label("Name (optional)").focus()
    page.keyboard.type("Admin")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Name (optional)")).to_have_value("Admin")
    look_at(page, "people-refused")
    page.get_by_label("Name (optional)").fill(name)
    page.keyboard.press("Tab")
    page.keyboard.type(f"{name}@lab.example")
    page.keyboard.press("Enter")
    link = page.get_by_label("One-time link")
    expect(link).to_have_value(re.compile(r"/hub/welcome#[\w-]+$"))
    look_at(page, "people-invited")
    address = link.input_value()
    find(page, name)
    row = page.get_by_role("row", name=name)
    expect(row).to_contain_text("Invited")
    expect(page.get_by_text(address)).to_have_count(0)

    theirs = browser.new_context()
    newcomers = theirs.new_page()
    newcomers.goto(address)
    expect(newcomers.get_by_label("Name")).to_have_value(name)
    newcomers.get_by_label("Password", exact=True).fill(PASSWORD)
    newcomers.get_by_label("The same again").fill(PASSWORD)
    newcomers.keyboard.press("Enter")
    expect(newcomers.get_by_role("heading", name="Set up your first workspace")).to_be_visible()
    theirs.close()
    page.reload()
    expect(row).to_contain_text("Active")


def test_a_list_is_mended_looked_through_and_imported(page: Page, tmp_path: Path) -> None:
    one, two = f"i{new_id()[:8]}", f"i{new_id()[:8]}"
    list_ = tmp_path / "people.csv"
    page.get_by_role("link", name="Import a list").click()
    look_at(page, "import")
    list_.write_text(f"name,email,role\n{one},{one}@lab.example,\n{two},no address,captain\n")
    page.get_by_label("CSV file").set_input_files(list_)
    page.get_by_role("button", name="Show what will happen").click()
    expect(page.get_by_role("alert")).to_contain_text("1 of 2 rows cannot be taken")
    wrong = page.get_by_role("row", name=two)
    expect(wrong.get_by_role("cell").first).to_have_text("3")
    expect(page.get_by_role("button", name="Add all")).to_have_count(0)
    look_at(page, "import-wrong")

    page.get_by_role("link", name="Choose the mended file").click()
    list_.write_text(f"name,email,role\n{one},{one}@lab.example,\n{two},,auditor\n")
    page.get_by_label("CSV file").set_input_files(list_)
    page.get_by_role("button", name="Show what will happen").click()
    expect(page.get_by_role("row", name=two)).to_contain_text("The account is made")
    look_at(page, "import-preview")
    page.get_by_role("button", name="Add all 2 people").click()
    expect(page.get_by_role("heading", name="2 people are invited")).to_be_visible()
    look_at(page, "imported")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the links").click()
    rows = download.value.path().read_text("utf-8-sig").splitlines()
    assert [row.split(",")[0] for row in rows[1:3]] == [one, two]
    assert all("/hub/welcome#" in row for row in rows[1:3])
    find(page, two)
    expect(page.get_by_role("row", name=two)).to_contain_text("Auditor")


def test_a_file_that_is_no_list_is_refused_in_words(page: Page, tmp_path: Path) -> None:
    picture = tmp_path / "people.csv"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    page.goto(f"{PORTAL}admin/people-import")
    page.get_by_label("CSV file").set_input_files(picture)
    page.get_by_role("button", name="Show what will happen").click()
    expect(page.get_by_role("alert")).to_contain_text("not text in UTF-8")
    expect(page.get_by_label("CSV file")).to_be_visible()


def test_a_role_given_by_keyboard_counts_at_the_next_page(
    page: Page, ada: Guest, visit: Visit
) -> None:
    theirs = visit(ada)
    expect(theirs.get_by_role("link", name="Admin", exact=True)).to_have_count(0)
    find(page, ada.name)
    page.get_by_role("link", name=ada.name).focus()
    page.keyboard.press("Enter")
    page.get_by_label("Auditor").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Save roles").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#ph-said")).to_contain_text(f"The roles of {ada.name} are saved.")
    look_at(page, "person")
    theirs.reload()
    theirs.get_by_role("link", name="Admin", exact=True).click()
    expect(theirs.get_by_role("link", name="Audit", exact=True)).to_be_visible()
    expect(theirs.get_by_role("link", name="Announcements", exact=True)).to_have_count(0)
    page.get_by_label("Auditor").uncheck()
    page.get_by_role("button", name="Save roles").click()
    theirs.reload()
    expect(theirs.get_by_role("heading", level=1)).to_have_text("You may not do this")


def test_who_is_deactivated_is_out_at_once_and_comes_back(
    page: Page, ada: Guest, visit: Visit
) -> None:
    theirs = visit(ada)
    find(page, ada.name)
    page.get_by_role("link", name=ada.name).click()
    page.get_by_role("link", name="Deactivate").click()
    expect(page.get_by_role("heading", name=f"Deactivate {ada.name}?")).to_be_visible()
    look_at(page, "deactivate")
    page.get_by_role("link", name="Cancel").click()
    expect(page.locator(".ph-head")).to_contain_text("Active")
    page.get_by_role("link", name="Deactivate").click()
    page.get_by_role("button", name="Deactivate").click()
    expect(page.locator("#ph-said")).to_contain_text("is deactivated and signed out everywhere")
    theirs.reload()
    expect(theirs.get_by_role("button", name="Sign in")).to_be_visible()

    page.get_by_role("link", name="People", exact=True).first.click()
    page.get_by_label("State").select_option("deactivated")
    page.get_by_label("Search").fill(ada.name[2:])
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="1 person found")).to_be_visible()
    look_at(page, "people-found")
    page.get_by_role("link", name=ada.name).click()
    page.get_by_role("button", name="Activate").click()
    expect(page.locator("#ph-said")).to_contain_text("may sign in again")


def test_nobody_found_says_what_to_do(page: Page) -> None:
    find(page, "zzz-nobody")
    expect(page.get_by_text("Nobody fits.")).to_be_visible()
    look_at(page, "people-nobody")
    page.get_by_role("link", name="Clear").click()
    expect(page.get_by_label("Search")).to_have_value("")
