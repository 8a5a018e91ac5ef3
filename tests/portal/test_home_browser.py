"""Home, feed, requests and rights in a real browser, with a real workspace."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete

from petrihub_core import feed, settings
from petrihub_core.deployment import Size
from petrihub_core.feed import Kind, Line
from petrihub_core.menu import MenuSettings, menu_in_file
from petrihub_core.records import Group, SettingsVersion

from tests.portal.browsing import look_at, newcomer, wait_for
from tests.portal.conftest import Visit
from tests.portal.guests import PORTAL, Guest, Site
from tests.portal.workspaces import Hub, hub_held

pytestmark = pytest.mark.browser
START_MS = 120_000


@pytest.fixture(scope="module")
def ada(site: Site) -> Guest:
    return newcomer(site)


@pytest.fixture(scope="module")
def menu(site: Site) -> Iterator[None]:
    """A size for one group only; afterwards the menu is as before."""
    file = menu_in_file(site.deployment)
    huge = Size(id="vast", title="Vast", cpu=32, memory_gib=256, groups=("imaging",))
    studio = file.profiles[0].model_copy(update={"sizes": (*file.profiles[0].sizes, "vast")})

    async def save() -> None:
        tables = site.database()
        async with tables.session() as session:
            session.add(Group(name="imaging", title="Imaging"))
            saved = MenuSettings(sizes=(*file.sizes, huge), profiles=(studio, *file.profiles[1:]))
            await settings.write(session, saved, by="tests")
        await tables.close()

    async def put_back() -> None:
        tables = site.database()
        async with tables.session() as session:
            await session.execute(delete(SettingsVersion).where(SettingsVersion.page == "menu"))
            await session.execute(delete(Group).where(Group.name == "imaging"))
        await tables.close()

    wait_for(save())
    yield
    wait_for(put_back())


def row(page: Page, name: str):  # type: ignore[no-untyped-def] # Locator
    return page.locator(f"#workspace-{name}")


@pytest.fixture
def study(ada: Guest) -> Guest:
    """Ada's workspace "RNA study" runs, whatever the test before has made of it."""
    ada.xsrf or ada.sign_in()
    where = f"users/{ada.name}/servers/rna-study"
    options = {"profile": "bio-studio", "size": "medium"}
    Hub(ada.site).client.post(where, json={"display_name": "RNA study", "user_options": options})
    until = time.monotonic() + START_MS / 1000
    while (now := ada.api("GET", "my/workspaces/rna-study").json())["state"] != "running":
        assert now["state"] != "failed", now["reason"]
        assert time.monotonic() < until, now
        time.sleep(0.2)
    return ada


def test_a_newcomer_names_a_workspace_and_comes_to_the_start_page(ada: Guest, visit: Visit) -> None:
    page = visit(ada)
    page.get_by_role("button", name="New workspace").click()
    expect(page.get_by_role("alert")).to_contain_text("Give the workspace a name")
    expect(page.get_by_label("Name of the new workspace")).to_be_focused()
    page.get_by_label("Name of the new workspace").fill("RNA study")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Start RNA study")


def test_restart_goes_on_without_the_tab_and_an_app_opens_by_its_link(
    study: Guest, visit: Visit
) -> None:
    page = visit(study)
    before = study.api("GET", "my/workspaces/rna-study").json()["started"]
    row(page, "rna-study").get_by_label("More about RNA study").click()
    row(page, "rna-study").get_by_role("button", name="Restart RNA study").click()
    expect(row(page, "rna-study")).to_contain_text("Restarting")
    page.close()

    page = visit(study)
    expect(row(page, "rna-study")).to_have_attribute("data-state", "running", timeout=START_MS)
    assert study.api("GET", "my/workspaces/rna-study").json()["started"] > before
    row(page, "rna-study").get_by_role("link", name="CELLxGENE").click()
    # it asks which file, so JupyterLab has understood the address
    expect(page.get_by_role("dialog")).to_contain_text("CELLxGENE", timeout=START_MS)
    assert "petrihub-app" not in page.url


def test_a_workspace_is_renamed_stopped_and_deleted_with_the_keyboard(
    study: Guest, visit: Visit
) -> None:
    page = visit(study)
    card = row(page, "rna-study")
    expect(card).to_contain_text("Running")
    expect(card).to_contain_text(re.compile("started (just now|.* ago)"))
    look_at(page, "home-running")
    page.evaluate("window.stillHere = true")
    page.get_by_label("Name of the new workspace").fill("typed meanwhile")
    card.get_by_label("More about RNA study").focus()
    page.keyboard.press("Enter")
    look_at(page, "home-menu")
    card.get_by_role("link", name="Rename").focus()
    page.keyboard.press("Enter")
    field = page.get_by_role("dialog").get_by_label("New title")
    expect(field).to_be_focused()
    page.keyboard.press("Escape")
    expect(card.get_by_label("More about RNA study")).to_be_focused()

    card.get_by_role("button", name="Stop RNA study").focus()
    page.keyboard.press("Enter")
    expect(card).to_have_attribute("data-state", "stopped", timeout=60_000)
    expect(page.locator("#ph-live")).to_have_text("RNA study has stopped.")
    expect(card.get_by_role("button", name="Start RNA study")).to_be_focused()
    expect(page.get_by_label("Name of the new workspace")).to_have_value("typed meanwhile")
    assert page.evaluate("window.stillHere"), "the page was loaded again"

    card.get_by_label("More about RNA study").click()
    card.get_by_role("link", name="Rename").click()
    field.fill("RNA of the liver")
    page.keyboard.press("Enter")
    expect(page.locator("#ph-said")).to_contain_text("RNA study is now called RNA of the liver.")
    page.wait_for_load_state()  # another page, whose dialogs are wired now
    expect(card.get_by_role("heading")).to_have_text("RNA of the liver")

    card.get_by_label("More about RNA of the liver").click()
    card.get_by_role("link", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete RNA of the liver?")
    expect(dialog.get_by_role("link", name="Keep it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    card.get_by_label("More about RNA of the liver").click()
    card.get_by_role("link", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.locator("#ph-said")).to_contain_text("is deleted. Your files are kept.")
    expect(page.get_by_role("heading", name="Set up your first workspace")).to_be_visible()


def test_a_page_of_a_busy_hub_comes_right_by_itself(site: Site, visit: Visit) -> None:
    guest = newcomer(site)
    guest.sign_in()
    add = {"name": "New workspace"}
    with hub_held(site):
        page = visit(guest)
        expect(page.get_by_text("did not answer in time")).to_be_visible()
        expect(page.get_by_role("heading", **add)).to_be_visible()
    expect(page.get_by_role("heading", name="Set up your first workspace")).to_be_visible()
    expect(page.get_by_role("button", **add)).to_be_enabled()
    for name in ("one", "two", "three"):
        Hub(site).client.put(f"users/{guest.name}/servers/{name}", json={"display_name": name})
    with hub_held(site):
        page.reload()
        expect(page.get_by_text("did not answer in time")).to_be_visible()
        expect(page.get_by_role("button", **add)).to_be_enabled()
    expect(page.get_by_text("You have 3 of 3 workspaces.")).to_be_visible()
    expect(page.get_by_role("button", **add)).to_be_disabled()
    expect(page.get_by_label("Name of the new workspace")).to_be_disabled()


def test_a_request_goes_from_the_rule_to_the_answer(
    menu: None, ada: Guest, admin: Guest, visit: Visit
) -> None:
    page = visit(ada)
    page.locator("#ph-user summary").click()
    page.get_by_role("link", name="What I may do").click()
    expect(page.get_by_text("Vast is for the group Imaging.")).to_be_visible()
    look_at(page, "rights")
    page.get_by_role("link", name="Ask for the size Vast").click()
    expect(page.get_by_label("What you need", exact=True)).to_have_value("size:vast")
    page.get_by_label("What you need it for").fill("Whole-slide images of the liver atlas.")
    look_at(page, "request-new")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#ph-said")).to_contain_text("You asked for the size Vast.")
    look_at(page, "requests")

    answering = visit(admin)
    answering.get_by_role("link", name=re.compile(r"Notifications, \d+ unread")).click()
    look_at(answering, "feed")
    answering.get_by_role("button", name="Answer").click()
    expect(answering).to_have_url(re.compile("/admin/requests#request-"))
    look_at(answering, "admin-requests")
    answering.get_by_role("button", name=f"Decline: {ada.name}, the size Vast").click()
    expect(answering.get_by_role("alert")).to_contain_text("The answer is missing")
    answering.get_by_label("Until").fill(f"{datetime.now(UTC).year + 1}-06-30")
    answering.get_by_role("button", name=f"Approve: {ada.name}, the size Vast").click()
    expect(answering.locator("#ph-said")).to_contain_text(f"{ada.name} has the size Vast")
    look_at(answering, "admin-requests-done")

    page.reload()
    expect(page.get_by_text("Approved", exact=True)).to_be_visible()
    page.get_by_role("link", name=re.compile(r"Notifications, \d+ unread")).click()
    expect(page.get_by_role("heading", name="You now have the size Vast")).to_be_visible()
    page.get_by_role("button", name="Mark all as read").click()
    expect(page.get_by_role("link", name="Notifications", exact=True)).to_be_visible()


def test_every_kind_of_line_can_be_read(ada: Guest, visit: Visit) -> None:
    async def tell() -> None:
        tables = ada.site.database()
        async with tables.session() as session:
            for kind in Kind:
                line = Line(
                    kind=kind,
                    title=f"Something {kind}",
                    text="The reason in a sentence that is long enough to need a second line "
                    "on a phone and says what to do next.",
                    link=PORTAL if kind != Kind.FINISHED else "",
                    link_title="Go there",
                )
                await feed.tell(session, ada.person_id, line)
        await tables.close()

    wait_for(tell())
    page = visit(ada)
    page.get_by_role("link", name=re.compile("Notifications")).click()
    look_at(page, "feed-all-kinds")
