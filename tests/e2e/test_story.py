"""The story of the first studio, as people live it: points 2, 3, 5 and 6, on both backends."""

import re
import subprocess

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.lab import START_MS, new_workspace, press_start, run_all
from tests.e2e.studio import Studio, choose_password
from tests.platform import PASSWORD, petrihub

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def ada(studio: Studio) -> Page:
    """The researcher Ada, who came by an invitation of the admin."""
    page = studio.browser.new_context(viewport={"width": 1360, "height": 850}).new_page()
    page.goto(studio.invitation())
    choose_password(page, "ada")
    expect(page).to_have_url(studio.home)
    return page


def test_the_first_admins_link_works_once(studio: Studio) -> None:
    page = studio.browser.new_context().new_page()
    page.goto(studio.up.first_admin)
    expect(page.locator("main")).to_contain_text(re.compile("used|no longer|already"))
    expect(page.get_by_label("The same again")).to_have_count(0)


def test_a_researcher_comes_in_out_and_in_again(studio: Studio, ada: Page) -> None:
    expect(ada.get_by_role("heading", name="Workspaces")).to_be_visible()
    assert ada.request.get(f"{studio.home}admin/people").status == 403
    page = studio.browser.new_context().new_page()
    page.goto(studio.up.url)
    studio.shot(page, "sign-in")
    page.get_by_label("Name", exact=True).fill(" ADA ")
    page.locator("input[type=password]").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page).to_have_url(studio.home)


def test_the_start_page_says_what_one_gets(studio: Studio, ada: Page) -> None:
    new_workspace(ada, studio.home, "first-look")
    main = ada.locator("main")
    for words in ("Bio studio", "Notebooks", "CELLxGENE", "2 CPU", "4 GiB", "not measured yet"):
        expect(main).to_contain_text(words)
    studio.shot(ada, "start-page")


def test_start_is_told_in_stages_and_ends_in_jupyterlab(studio: Studio, ada: Page) -> None:
    ada.get_by_role("button", name="Start", exact=True).click()
    for stage in ("Queued", "Preparing", "Starting", "Ready"):
        expect(ada.locator("main")).to_contain_text(stage)
    studio.shot(ada, "progress")
    ada.wait_for_url(re.compile("/user/ada/first-look/lab"), timeout=START_MS)
    expect(ada.locator(".jp-Launcher").first).to_be_visible(timeout=START_MS)
    studio.shot(ada, "launcher")


def test_the_notebook_draws_its_umap_and_writes_what_cellxgene_opens(
    studio: Studio, ada: Page
) -> None:
    lab = f"{studio.up.url}/user/ada/first-look/lab"
    run_all(ada, lab, "Welcome/PBMC first look.ipynb")
    drawn = ada.locator(".jp-NotebookPanel .jp-RenderedImage img")
    assert drawn.count() >= 1
    drawn.last.scroll_into_view_if_needed()
    studio.shot(ada, "umap")
    files = ada.request.get(
        f"{studio.up.url}/user/ada/first-look/petrihub/api/files?types=.h5ad"
    ).json()["files"]
    [written] = [name for name in files if "first_look" in str(name)]
    assert written


def test_a_cells_file_opens_in_cellxgene(studio: Studio, ada: Page) -> None:
    base = f"{studio.up.url}/user/ada/first-look"
    ada.goto(f"{base}/lab/tree/Welcome")
    item = ada.locator(".jp-DirListing-item", has_text="pbmc_first_look.h5ad")
    item.click(button="right", timeout=60_000)
    studio.shot(ada, "open-in")
    ada.get_by_role("menuitem", name="Open in CELLxGENE").click()
    frame = ada.frame_locator("iframe[src*='cellxgene']")
    expect(frame.locator("body")).to_contain_text(re.compile("700|cells"), timeout=START_MS)
    expect(frame.locator("svg, canvas").first).to_be_visible(timeout=60_000)
    studio.shot(ada, "cellxgene")


def test_files_are_there_after_stop_and_start(studio: Studio, ada: Page) -> None:
    ada.goto(studio.home)
    ada.get_by_role("button", name="Stop first-look").click()
    card = ada.locator("#workspace-first-look")
    expect(card).to_contain_text("Stopped", timeout=60_000)
    card.get_by_role("button", name=re.compile("^Start")).click()
    ada.wait_for_url(re.compile("/user/ada/first-look"), timeout=START_MS)
    listed = ada.request.get(f"{studio.up.url}/user/ada/first-look/api/contents/Welcome").json()
    assert "pbmc_first_look.h5ad" in {entry["name"] for entry in listed["content"]}


def test_the_next_start_page_knows_how_long_it_takes(studio: Studio, ada: Page) -> None:
    new_workspace(ada, studio.home, "second")
    expect(ada.locator("main")).to_contain_text(re.compile(r"[Uu]sually ready in about \d+ s"))


def test_three_workspaces_with_their_own_profiles_and_no_fourth(studio: Studio, ada: Page) -> None:
    ada.get_by_role("radio", name="Notebooks").check(force=True)
    press_start(ada)
    new_workspace(ada, studio.home, "third")
    press_start(ada)
    ada.goto(studio.home)
    studio.shot(ada, "home")
    expect(ada.locator("main")).to_contain_text("3 of 3 workspaces")
    expect(ada.locator("#workspace-second")).to_contain_text("Notebooks")
    expect(ada.locator("#workspace-third")).to_contain_text("Bio studio")
    expect(ada.get_by_role("button", name="New workspace")).to_be_disabled()
    refused = ada.evaluate(
        """async () => {
            const xsrf = decodeURIComponent(document.cookie.match(/_xsrf=([^;]*)/)?.[1] ?? "");
            const answer = await fetch("/hub/api/users/ada/servers/fourth", {
                method: "POST", headers: {"X-XSRFToken": xsrf}, body: "{}"});
            return answer.status;
        }"""
    )
    assert refused in {400, 403}


def test_nobody_enters_another_persons_workspace(studio: Studio, ada: Page) -> None:
    bob = studio.browser.new_context().new_page()
    bob.goto(studio.invitation())
    choose_password(bob, "bob")
    expect(bob).to_have_url(studio.home)
    answer = bob.goto(f"{studio.up.url}/user/ada/second/api/contents")
    assert answer is not None
    assert answer.status in {403, 404}
    assert "Welcome" not in answer.text()


def test_a_lost_password_is_recovered_by_the_operator(studio: Studio, ada: Page) -> None:
    said = subprocess.run(
        petrihub("admin", "reset", "ada", "--state", studio.up.state),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    page = studio.browser.new_context().new_page()
    page.goto(said.strip().rsplit(" ", 1)[1])
    choose_password(page, None)
    expect(page).to_have_url(studio.home)
    # whoever was signed in with the old password is not any more
    spawn = ada.request.get(f"{studio.up.url}/hub/spawn", max_redirects=0)
    assert (spawn.status, "/hub/login" in spawn.headers["location"]) == (302, True)
