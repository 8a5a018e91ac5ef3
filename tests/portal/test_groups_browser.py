"""Groups in a real browser: made and kept by an administrator, asked for, led by a manager."""

import re

import pytest
from playwright.sync_api import Page, expect

from petrihub_core.records import new_id

from tests.portal.browsing import look_at, newcomer
from tests.portal.conftest import Visit
from tests.portal.guests import PORTAL, Guest, Site

pytestmark = pytest.mark.browser


@pytest.fixture
def page(visit: Visit, admin: Guest) -> Page:
    """The list of groups, as `admin`."""
    return visit(admin, "admin/groups")


@pytest.fixture
def group(admin: Guest) -> str:
    """A fresh group; its short name."""
    name = f"g{new_id()[:8]}"
    admin.xsrf or admin.sign_in()
    assert admin.api("POST", "groups", {"name": name, "title": f"Lab {name}"}).status_code == 201
    return name


def put_in(admin: Guest, group: str, guest: Guest, *, manager: bool = False) -> None:
    where = f"groups/{group}/members/{guest.name}"
    assert admin.api("PUT", where).status_code == 201
    assert admin.api("PATCH", where, {"manager": manager}).status_code == 200


def said(page: Page, words: str) -> None:
    expect(page.locator("#ph-said")).to_contain_text(words)


def test_a_group_is_made_by_keyboard_and_gets_its_people(page: Page, ada: Guest) -> None:
    name = f"g{new_id()[:8]}"
    page.get_by_label("Title").focus()
    page.keyboard.type("Light sheet")
    page.keyboard.press("Tab")
    page.keyboard.type("con")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Title")).to_have_value("Light sheet")
    look_at(page, "groups-refused")
    page.get_by_label("Short name").fill(name)
    page.keyboard.press("Enter")
    said(page, "Light sheet is made. Add its people now.")
    expect(page.get_by_text("Nobody is in this group yet.")).to_be_visible()
    look_at(page, "group-empty")

    page.get_by_label("Name of the person").fill("nobody-here")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("There is nobody active with this name.")
    page.get_by_label("Name of the person").fill(ada.name)
    page.keyboard.press("Enter")
    said(page, f"{ada.name} is in the group now.")
    page.get_by_role("button", name=f"Make {ada.name} a manager").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("row", name=ada.name)).to_contain_text("Manager")
    page.get_by_role("button", name=f"Make {ada.name} a plain member").click()
    page.get_by_role("button", name=f"Take {ada.name} out of the group").click()
    said(page, f"{ada.name} is not in the group any more.")


def test_the_rules_of_a_group_are_kept_or_refused_beside_what_was_typed(
    group: str, page: Page
) -> None:
    page.get_by_role("link", name=f"Lab {group}").click()
    page.get_by_label("Workspaces per person").fill("0")
    page.get_by_label("Default profile").select_option("notebooks")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("between 1 and 100")
    expect(page.get_by_label("Default profile")).to_have_value("notebooks")
    page.get_by_label("Workspaces per person").fill("2")
    page.get_by_label("People may ask to join").check()
    page.get_by_role("button", name="Save").click()
    said(page, "is saved.")
    expect(page.get_by_label("Workspaces per person")).to_have_value("2")
    expect(page.get_by_label("People may ask to join")).to_be_checked()
    look_at(page, "group")
    page.get_by_role("link", name="Groups", exact=True).first.click()
    page.get_by_label("Search").fill(group)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=re.compile("found$"))).to_be_visible()
    expect(page.get_by_role("row", name=group)).to_contain_text("open to requests")
    expect(page.get_by_role("row", name=group)).to_contain_text("notebooks")
    look_at(page, "groups-found")


def test_a_group_is_deleted_after_a_question(group: str, page: Page) -> None:
    page.goto(f"{PORTAL}admin/groups/{group}")
    page.get_by_role("link", name="Delete the group").click()
    look_at(page, "group-delete")
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("link", name="Delete the group").click()
    page.get_by_role("button", name="Delete the group").click()
    said(page, f"The group {group} is deleted.")
    expect(page.get_by_text(f"Lab {group}")).to_have_count(0)


def test_a_manager_opens_the_group_and_answers_who_asks(
    site: Site, admin: Guest, ada: Guest, group: str, visit: Visit
) -> None:
    grace, eve = newcomer(site), newcomer(site)
    put_in(admin, group, ada, manager=True)
    outside = visit(grace, "rights")
    expect(outside.get_by_text(f"Lab {group}")).to_have_count(0)

    led = visit(ada, "groups")
    led.get_by_role("link", name=f"Lab {group}").click()
    led.get_by_role("button", name="Let everybody ask to join").focus()
    led.keyboard.press("Enter")
    said(led, "Everybody may ask to join now.")

    outside.goto(f"{PORTAL}groups")
    look_at(outside, "my-groups-none")
    outside.get_by_role("link", name="Ask for a group").click()
    outside.get_by_label("What you need", exact=True).select_option(f"group:{group}")
    outside.get_by_label("What you need it for").fill("I join the liver atlas next week.")
    outside.get_by_role("button", name="Ask").click()
    said(outside, f"You asked for the group Lab {group}.")
    visit(eve, f"requests/new?kind=group&subject={group}")
    asked = {"kind": "group", "subject": group, "reason": "Me too."}
    assert eve.api("POST", "requests", asked).status_code == 201

    led.reload()
    led.get_by_role("link", name=re.compile(r"Notifications, 2 unread")).click()
    led.get_by_role("button", name="Answer").first.click()
    expect(led).to_have_url(re.compile(f"/groups/{group}#request-"))
    look_at(led, "my-group-asked")
    led.get_by_role("button", name=f"Decline: {eve.name}").click()
    expect(led.get_by_role("alert")).to_contain_text("The answer is missing")
    card = led.get_by_role("listitem").filter(has_text=eve.name)
    card.get_by_label("Your words").fill("The atlas is full.")
    card.get_by_role("button", name="Decline").click()
    said(led, f"{eve.name} does not join, and is told.")
    led.get_by_role("button", name=f"Approve: {grace.name}").click()
    said(led, f"{grace.name} is in the group now, and is told.")
    expect(led.get_by_role("row", name=grace.name)).to_contain_text("Member")
    look_at(led, "my-group-led")

    outside.goto(f"{PORTAL}groups")
    outside.get_by_role("link", name=f"Lab {group}").click()
    expect(outside.get_by_role("button", name="Close the group")).to_have_count(0)
    look_at(outside, "my-group-member")
    outside.get_by_role("button", name="Leave the group").click()
    expect(outside.get_by_text("You are in no group yet.")).to_be_visible()
    told = visit(eve, "requests")
    expect(told.get_by_text("The atlas is full.")).to_be_visible()
