"""Choosing profile and size, and the page that follows a start."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]


# asks the hub's API as the page's own scripts do
ASK = """async ([method, path]) => {
  const headers = { "X-XSRFToken": document.body.dataset.xsrf };
  const answer = await fetch(`/hub/api/users/${path}`, { method, headers });
  return answer.status === 200 ? answer.json() : {};
}"""


def server(page: Page, path: str) -> dict[str, object]:
    """What the hub says of the workspace "<person>/servers/<name>"."""
    return page.evaluate(ASK, ["GET", path])


def begin_stop(page: Page, path: str) -> None:
    """Ask the hub to stop it; returns when the hub has begun to."""
    page.evaluate(f"(call) => void ({ASK})(call)", ["DELETE", path])
    while server(page, path)["ready"]:
        page.wait_for_timeout(50)


def start(page: Page, profile: str) -> None:
    page.get_by_label(profile, exact=True).check()
    page.get_by_role("button", name="Start", exact=True).click()


def stages(page: Page) -> dict[str, str]:
    return {
        str(item.get_attribute("data-stage")): str(item.get_attribute("data-state"))
        for item in page.locator("#ph-steps li").all()
    }


def test_profiles_say_what_is_in_them_and_how_long_they_take(hub, visit: Visit) -> None:
    page = visit("ada", "/hub/spawn/ada/choose?display_name=Chosen%20name")
    expect(page.get_by_role("heading", level=1)).to_have_text("Start Chosen name")
    bio = page.get_by_label("Bio studio", exact=True)
    expect(bio).to_be_checked()
    expect(bio).to_have_accessible_description(
        re.compile("CELLxGENE.*Usually ready in about 9 s", re.S)
    )
    page.get_by_text("Desktop is not available here").click()
    expect(page.get_by_text("Desktop: TigerVNC is not installed on this machine.")).to_be_visible()
    notebooks = page.get_by_label("Notebooks", exact=True)
    expect(notebooks).to_have_accessible_description(re.compile("First start: not measured yet"))
    learning = page.get_by_label("Deep learning", exact=True)
    expect(learning).to_be_disabled()
    expect(learning).to_have_accessible_description(re.compile("petrihub/gpu is not built"))
    expect(page.get_by_text("sizes are advice, not limits")).to_be_visible()


def test_the_keyboard_chooses_and_sizes_follow_the_profile(hub, visit: Visit) -> None:
    page = visit("ben", "/hub/spawn/ben/keys")
    expect(page.get_by_label("Medium")).to_be_checked()
    expect(page.locator("#ph-start-words")).to_have_text(
        "Bio studio, 2 CPU cores, 4 GiB memory, usually about 9 s"
    )
    page.get_by_label("Bio studio", exact=True).focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("Notebooks", exact=True)).to_be_checked()
    expect(page.get_by_label("Large")).to_be_disabled()
    expect(page.get_by_text("not offered in the crossed-out size")).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("Preview", exact=True)).to_be_checked()
    expect(page.get_by_label("Small")).to_be_checked()
    expect(page.locator("#ph-start-words")).to_have_text("Preview, 1 CPU core, 2 GiB memory")


def test_without_javascript_a_workspace_can_be_started(hub, visit: Visit) -> None:
    page = visit("cora", "/hub/spawn/cora/plain", java_script_enabled=False)
    page.get_by_label("Notebooks", exact=True).check()
    page.get_by_label("Large").check()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text(
        "The profile 'Notebooks' has no size 'large'."
    )
    page.get_by_label("Notebooks", exact=True).check()
    page.get_by_label("Small").check()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("heading", name="The workspace")).to_be_visible()


def test_a_start_that_fails_at_once_says_why_on_top_of_the_form(hub, visit: Visit) -> None:
    page = visit("dan", "/hub/spawn/dan/archive")
    start(page, "Archive")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Failed while preparing")
    expect(alert).to_contain_text("The disk is full. Ask the administrator.")
    expect(page.get_by_role("heading", level=1)).to_have_text("Start archive")
    start(page, "Notebooks")
    expect(page.get_by_role("heading", name="The workspace")).to_be_visible()


def test_the_stages_are_told_and_the_workspace_opens_by_itself(hub, visit: Visit) -> None:
    page = visit("eli", "/hub/spawn/eli/steps")
    for stage in ("queued", "preparing", "starting"):
        hub.hold("steps", stage)
    start(page, "Bio studio")
    message = page.get_by_role("status")
    expect(message).to_have_text("Waiting for its turn")
    assert stages(page) == {
        "queued": "current",
        "preparing": "waiting",
        "starting": "waiting",
        "ready": "waiting",
    }
    expect(
        page.get_by_text(re.compile(r"\d+ s so far, usually ready in about 9 s"))
    ).to_be_visible()

    hub.release("steps", "queued")
    expect(page.locator("#ph-steps [aria-current=step]")).to_have_text("Preparing")
    expect(message).to_have_text("Preparing the workspace")
    hub.release("steps", "preparing")
    expect(message).to_have_text("Starting the tools")
    page.get_by_text("What happened so far").click()
    expect(page.locator("#ph-events li")).to_have_count(4)

    assert "_xsrf" not in page.url
    hub.release("steps", "starting")
    expect(page.get_by_role("heading", name="The workspace")).to_be_visible()


def test_how_much_of_a_checkpoint_has_come_is_shown(hub, visit: Visit) -> None:
    """F14."""
    page = visit("mia", "/hub/spawn/mia/huge")
    for stage in ("asking", "1.2", "4.9", "starting"):
        hub.hold("huge", stage)
    start(page, "Notebooks")
    message, bar = page.get_by_role("status"), page.locator("#ph-come")
    expect(message).to_have_text("Fetching the checkpoint from the image server")
    expect(bar).to_be_hidden()
    hub.release("huge", "asking")
    expect(message).to_have_text("Fetching the checkpoint: 1.2 of 5.0 GB")
    assert bar.evaluate("(bar) => bar.position") == pytest.approx(0.24)
    page.get_by_text("What happened so far").click()
    hub.release("huge", "1.2")
    expect(message).to_have_text("Fetching the checkpoint: 4.9 of 5.0 GB")
    expect(page.locator("#ph-events")).not_to_contain_text("1.2 of")  # only the newest
    page.reload()
    expect(message).to_have_text("Fetching the checkpoint: 4.9 of 5.0 GB")
    hub.release("huge", "4.9")
    expect(message).to_have_text("Starting the tools")
    expect(bar).to_be_hidden()
    hub.release("huge", "starting")
    expect(page.get_by_role("heading", name="The workspace")).to_be_visible()


def test_a_page_loaded_again_shows_the_same_start(hub, visit: Visit) -> None:
    page = visit("flo", "/hub/spawn/flo/twice")
    hub.hold("twice", "starting")
    start(page, "Notebooks")
    expect(page.get_by_role("status")).to_have_text("Starting the tools")
    page.reload()
    expect(page.get_by_role("status")).to_have_text("Starting the tools")
    assert stages(page)["starting"] == "current"
    hub.release("twice", "starting")
    expect(page.get_by_role("heading", name="The workspace")).to_be_visible()


def test_a_failing_stage_is_named_with_its_reason_and_log(hub, visit: Visit) -> None:
    page = visit("gil", "/hub/spawn/gil/fails")
    hub.hold("fails", "starting")
    start(page, "Preview")
    expect(page.get_by_role("status")).to_have_text("Starting the tools")
    hub.release("fails", "starting")

    expect(page.get_by_role("heading", level=1)).to_have_text("fails could not be started")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(re.compile(r"Failed while starting, after \d+ s"))
    expect(alert.locator("p")).to_have_text(
        "The image petrihub/preview is not on this machine. "
        "Ask the administrator to build it, then try again."
    )
    assert stages(page) == {
        "queued": "done",
        "preparing": "done",
        "starting": "failed",
        "ready": "waiting",
    }
    expect(page.get_by_role("button", name="Try again")).to_be_focused()
    expect(page.get_by_text("looking for petrihub/preview")).to_be_hidden()
    page.get_by_text("Log of the failed start").click()
    expect(page.locator("#ph-failure-log")).to_have_text(
        "looking for petrihub/preview\nnot found <b>here</b>"
    )

    page.reload()  # the hub renders the failure itself now
    expect(page.get_by_role("heading", level=1)).to_have_text("fails could not be started")
    expect(page.get_by_role("alert")).to_contain_text("Failed while starting")
    assert stages(page)["starting"] == "failed"
    page.get_by_text("Log of the failed start").click()
    expect(page.locator("pre.ph-log")).to_contain_text("not found <b>here</b>")

    hub.hold("fails", "queued")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Starting fails")
    hub.release("fails", "queued")
    expect(page.get_by_role("heading", level=1)).to_have_text("fails could not be started")
    page.get_by_role("link", name="Back to workspaces").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Workspaces")


def test_a_start_can_be_cancelled(hub, visit: Visit) -> None:
    page = visit("hal", "/hub/spawn/hal/unwanted")
    hub.hold("unwanted", "preparing")
    start(page, "Notebooks")
    expect(page.get_by_role("status")).to_have_text("Preparing the workspace")
    page.get_by_role("button", name="Cancel the start").click()
    expect(page.get_by_role("heading", name="Workspaces", exact=True)).to_be_visible()
    assert server(page, "hal/servers/unwanted")["stopped"]
    hub.release("unwanted", "preparing")


def test_a_stop_is_waited_for(hub, visit: Visit) -> None:
    page = visit("ida", "/hub/spawn/ida/ends")
    start(page, "Notebooks")
    expect(page.get_by_role("heading", name="The workspace")).to_be_visible()
    page.goto(f"{hub.url}/hub/home")
    hub.hold("ends", "stop")
    begin_stop(page, "ida/servers/ends")
    page.goto(f"{hub.url}/hub/spawn-pending/ida/ends")
    expect(page.get_by_role("heading", level=1)).to_have_text("Stopping ends")
    hub.release("ends", "stop")
    expect(page.get_by_role("heading", level=1)).to_have_text("Workspaces")


def test_a_link_into_a_stopped_workspace_offers_to_start_it(hub, visit: Visit) -> None:
    page = visit("jan", "/hub/spawn/jan/asleep")
    start(page, "Notebooks")
    expect(page.get_by_role("heading", name="The workspace")).to_be_visible()
    page.goto(f"{hub.url}/hub/home")
    begin_stop(page, "jan/servers/asleep")
    while not server(page, "jan/servers/asleep")["stopped"]:
        page.wait_for_timeout(100)
    page.goto(f"{hub.url}/user/jan/asleep/lab/tree/notes.ipynb")
    expect(page.get_by_role("heading", level=1)).to_have_text("asleep is not running")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", name="The workspace")).to_be_visible()
    assert "/user/jan/asleep/lab/tree/notes.ipynb" in page.url


def test_the_unnamed_workspace_is_not_offered(hub, visit: Visit) -> None:
    page = visit("kai", "/hub/spawn")
    expect(page.get_by_role("heading", name="Every workspace has a name")).to_be_visible()
    expect(page.get_by_role("button", name="Start")).to_have_count(0)
    page.goto(f"{hub.url}/hub/user/kai/lab")
    expect(page.get_by_role("heading", level=1)).to_have_text("This address has no workspace")


def test_sizes_are_read_from_small_to_large(hub, visit: Visit) -> None:
    page = visit("lou", "/hub/spawn/lou/order")  # its first profile names medium first: the default
    assert page.locator(".ph-size strong").all_inner_texts() == ["Small", "Medium", "Large"]
