"""The panel of checkpoints in a real JupyterLab, which asks a real portal with a workspace's token.

What the helper in the workspace would say is written into the tables here; with a real helper,
engine and registry it is shown in tests/e2e/test_checkpoints.py.
"""

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Locator, Page, Route, expect
from sqlalchemy import select

from petrihub_cli.state import inner_ports, keys
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import State
from petrihub_core.image_server import ImageServer, write_image_server
from petrihub_core.ports import free_port
from petrihub_portal.app import make_app
from petrihub_portal.serve import make_portal

from tests.extensions.conftest import TOKEN, Running, serve
from tests.portal.browsing import barriers, newcomer, wait_for
from tests.portal.guests import API, Guest, Site
from tests.portal.own_tokens import token_of_workspace
from tests.portal.test_checkpoints import running, saved

pytestmark = pytest.mark.browser
PROBLEM = "2.1 GB would be stored, before packing: 3 files are new, 1 changed, 0 gone."
MEASURED = {"added": 3, "changed": 1, "deleted": 0, "bytes": 2_100_000_000}
FINDING = {"path": "/usr/local/etc/upload.pem", "pattern": "private-key"}
CHANGES = [
    {"path": "/usr/local/bin/probe", "kind": "added", "size": 20},
    {"path": "/usr/local/lib/R/site-library/DESeq2/DESCRIPTION", "kind": "added", "size": 2_100},
    {"path": "/etc/locale.gen", "kind": "changed", "size": 9_000},
]


@dataclass
class Helper:
    """What the helper of ada's workspace `study` and the image service would write down."""

    site: Site
    ada: Guest

    def says(self, name: str, **values: object) -> None:
        async def write() -> None:
            tables = self.site.database()
            async with tables.reading() as session:
                found = select(Checkpoint.id).where(
                    Checkpoint.owner == self.ada.person_id, Checkpoint.name == name
                )
                checkpoint_id = (await session.scalars(found)).one()
            await saved(tables, checkpoint_id, **values)
            await tables.close()

        wait_for(write())

    def finishes(self, name: str, size: int) -> None:
        done = {"state": State.DONE, "manifest_digest": "sha256:" + "2" * 64, "layer_size": size}
        self.says(name, **done, summary=MEASURED, changes=CHANGES, progress={})


@pytest.fixture(scope="module")
def portal(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a portal of its own on the site's tables, as where there is an image server."""
    deployment = site.deployment.model_copy(
        update={"state": tmp_path_factory.mktemp("docker"), "backend": "docker"}
    )
    nowhere = ImageServer(engine="127.0.0.1:1", pods="", registry="", service="")
    write_image_server(deployment, nowhere)
    api_url = f"http://127.0.0.1:{inner_ports(site.deployment)['hub']}/hub/api"
    served = replace(
        make_portal(site.deployment, keys(site.deployment), api_url), deployment=deployment
    )
    port = free_port()
    config = uvicorn.Config(make_app(served), port=port, log_level="warning", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def helper(site: Site) -> Helper:
    ada = newcomer(site).sign_in()

    async def start() -> None:
        tables = site.database()
        await running(tables, ada)
        await tables.close()

    wait_for(start())
    return Helper(site, ada)


@pytest.fixture(scope="module")
def server(
    site: Site, helper: Helper, portal: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """JupyterLab with what PetriHub tells a workspace of ada."""
    folder = tmp_path_factory.mktemp("panel")
    told = {"hubServerUser": helper.ada.name, "hubServerName": "study", "hubHost": ""}
    page_config = folder / "config/labconfig/page_config.json"
    page_config.parent.mkdir(parents=True)
    page_config.write_text(json.dumps(told))
    write_mounts(folder, "mounted")
    config = {"PetriHubExtension": {"mounts_file": str(folder / "mounts.json")}}
    (folder / "config/jupyter_server_config.json").write_text(json.dumps(config))
    environment = {
        "PETRIHUB_CHECKPOINTS_URL": f"{portal}{API}/workspace",
        "JUPYTERHUB_API_TOKEN": wait_for(token_of_workspace(site, helper.ada.name)),
    }
    with serve(folder, [], lab=True, **environment) as found:
        yield found


@pytest.fixture(scope="module")
def lab(browser: Browser, server: Running) -> Iterator[Page]:
    errors: list[str] = []
    context = browser.new_context(viewport={"width": 1200, "height": 820}, reduced_motion="reduce")
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{server.url}lab?reset&token={TOKEN}")
    expect(page.locator(".jp-Launcher").first).to_be_visible(timeout=60_000)
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def panel(lab: Page) -> Locator:
    return lab.get_by_role("region", name="Checkpoints")


def shot(lab: Page, name: str) -> None:
    if folder := os.environ.get("PETRIHUB_SHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        lab.screenshot(path=Path(folder) / f"{name}.png")


def test_a_save_from_the_menu_over_size_and_warning_to_the_list(
    lab: Page, panel: Locator, helper: Helper
) -> None:
    lab.get_by_role("menuitem", name="File", exact=True).click()
    lab.get_by_role("menuitem", name="Save Environment…").click()
    name = panel.get_by_label("Name")
    expect(name).to_be_focused()
    name.fill("with DESeq2")
    panel.get_by_label("What is in it").fill("For the paper: DESeq2 1.44, samtools.")
    shot(lab, "panel-form")
    panel.get_by_role("button", name="See how large it is").click()
    expect(panel).to_contain_text("Waiting for the workspace")
    helper.says("with DESeq2", state=State.CONFIRM, summary=MEASURED, findings=[FINDING])
    expect(panel).to_contain_text(PROBLEM)
    expect(panel).to_contain_text("/usr/local/etc/upload.pem")
    expect(panel).to_contain_text("a private key")
    save = panel.get_by_role("button", name="Save it: with DESeq2")
    expect(save).to_be_disabled()
    shot(lab, "panel-warned")
    assert barriers_of(lab) == []
    panel.get_by_label("I have looked at it").check()
    save.click()
    expect(panel).to_contain_text("Waiting for the workspace")
    packing = {
        "stage": "packing",
        "files": 20_123,
        "bytes": 900_000_000,
        "total_bytes": 2_100_000_000,
    }
    helper.says("with DESeq2", state=State.SAVING, progress=packing)
    bar = panel.get_by_role("progressbar", name="Saving")
    expect(bar).to_have_attribute("aria-valuenow", "43")
    expect(panel).to_contain_text("Packing what has changed: 20,123 files")
    expect(panel).to_contain_text("900 MB of 2.1 GB")
    shot(lab, "panel-saving")
    # the workspace stays usable: nothing lies over it
    lab.get_by_role("menuitem", name="Edit", exact=True).click()
    lab.keyboard.press("Escape")
    helper.finishes("with DESeq2", 734_000_000)
    expect(lab.locator(".Toastify")).to_contain_text("with DESeq2 is saved.")
    item = panel.get_by_role("listitem").filter(has_text="with DESeq2")
    expect(item).to_contain_text("734 MB")
    expect(item).to_contain_text("For the paper")


def test_what_was_changed_is_listed_and_the_way_out_leads_to_the_portal(
    lab: Page, panel: Locator, helper: Helper
) -> None:
    item = panel.get_by_role("listitem").filter(has_text="with DESeq2").first
    panel.get_by_role("button", name="What did I change in with DESeq2").click()
    expect(item).to_contain_text("/usr/local/bin/probe")
    expect(item).to_contain_text("3 new, 1 changed, 0 gone; 2.1 GB before packing.")
    shot(lab, "panel-changes")
    start = panel.get_by_role("link", name="Start a new workspace from it: with DESeq2")
    where = start.get_attribute("href") or ""
    portal = f"{lab.evaluate('location.origin')}/services/portal/"
    assert re.fullmatch(rf"{portal}workspaces/study/checkpoints#into-[0-9a-f]{{32}}", where)
    # that this leads to the open form is another browser's business: the person's at the portal
    assert where.rpartition("#")[2] in helper.ada.get("workspaces/study/checkpoints").text
    share = panel.get_by_role("link", name="Share with DESeq2").get_attribute("href") or ""
    shown = helper.ada.get(share.removeprefix(portal))
    assert (shown.status_code, "Who may start from it" in shown.text) == (200, True)


def test_a_refusal_is_told_with_the_next_step(lab: Page, panel: Locator, helper: Helper) -> None:
    panel.get_by_role("button", name="Save", exact=True).click()
    panel.get_by_label("Name").fill("second")
    panel.get_by_role("button", name="See how large it is").click()
    expect(panel).to_contain_text("Waiting for the workspace")
    helper.finishes("second", 4096)
    expect(panel.get_by_text("made from with DESeq2")).to_be_visible()
    panel.get_by_role("button", name="Delete with DESeq2").click()
    lab.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(panel.get_by_role("alert")).to_contain_text("second was made from with DESeq2.")
    expect(panel.get_by_role("alert")).to_contain_text("Delete second first.")
    # a state that is newer than the panel is shown by its own word
    panel.get_by_role("button", name="Save", exact=True).click()
    panel.get_by_label("Name").fill("third")
    panel.get_by_role("button", name="See how large it is").click()
    expect(panel).to_contain_text("Waiting for the workspace")
    helper.says("third", state=State.FAILED, reason="The helper that saves did not answer.")
    expect(lab.locator(".Toastify")).to_contain_text("third was not saved.")
    expect(panel).to_contain_text("The helper that saves did not answer.")
    shot(lab, "panel-refused")


def test_both_themes_a_narrow_panel_and_the_keyboard(lab: Page, panel: Locator) -> None:
    handle = lab.locator("#jp-main-split-panel > .lm-SplitPanel-handle").first
    box = handle.bounding_box()
    assert box
    lab.mouse.move(box["x"] + 1, 400)
    lab.mouse.down()
    lab.mouse.move(260, 400, steps=4)
    lab.mouse.up()
    body = panel.locator(".petrihub-Checkpoints-body")
    assert body.evaluate("each => each.scrollWidth <= each.clientWidth")
    shot(lab, "panel-narrow")
    command(lab, "JupyterLab Dark")
    expect(lab.locator("body")).to_have_attribute("data-jp-theme-light", "false")
    expect(lab.locator("#jupyterlab-splash")).to_have_count(0)
    shot(lab, "panel-dark")
    assert barriers_of(lab) == []
    # by keys alone: palette, form, out again
    command(lab, "Save Environment")
    expect(panel.get_by_label("Name")).to_be_focused()
    lab.keyboard.press("Escape")
    expect(panel.get_by_label("Name")).to_have_count(0)


def test_the_status_bar_says_how_the_mounted_folders_are(lab: Page, server: Running) -> None:
    bar = lab.locator("#jp-main-statusbar")
    expect(bar.get_by_role("button", name="Storage: ok")).to_be_visible()
    write_mounts(server.home.parent, "lost", "the file server does not answer")
    item = bar.get_by_role("button", name="Shared lab: lost, the file server does not answer")
    item.click()
    popup = lab.get_by_role("list", name="Mounted folders")
    expect(popup).to_contain_text("/mnt/shared/lab")
    expect(popup).to_contain_text("Public")
    shot(lab, "storage-lost")
    lab.keyboard.press("Escape")


def told_else(browser: Browser, server: Running, told: str, instead: str) -> Page:
    """JupyterLab in a page that was told something else."""
    page = browser.new_page()

    def as_there(route: Route) -> None:
        answer = route.fetch()
        assert told in answer.text()
        route.fulfill(response=answer, body=answer.text().replace(told, instead))

    page.route(re.compile(r"/lab(\?|$)"), as_there)
    page.goto(f"{server.url}lab?reset&token={TOKEN}")
    expect(page.locator(".jp-Launcher").first).to_be_visible(timeout=60_000)
    return page


def test_links_name_the_hub_s_host_where_people_have_hosts_of_their_own(
    browser: Browser, server: Running, site: Site
) -> None:
    page = told_else(browser, server, '"hubHost": ""', f'"hubHost": "{site.url}"')
    command(page, "Show Checkpoints")
    start = page.get_by_role("link", name="Start a new workspace from it: with DESeq2")
    assert re.fullmatch(
        rf"{site.url}/services/portal/workspaces/study/checkpoints#into-[0-9a-f]{{32}}",
        start.get_attribute("href") or "",
    )
    page.close()


def test_without_an_image_server_there_is_only_a_sentence(
    browser: Browser, server: Running
) -> None:
    told = '"petrihubCheckpoints": "offered"'
    page = told_else(browser, server, told, '"none": "offered"')
    expect(page.get_by_role("tab", name="Running Terminals")).to_be_visible()
    expect(page.locator("#petrihub-checkpoints")).to_have_count(0)
    page.get_by_role("menuitem", name="File", exact=True).click()
    expect(page.get_by_role("menuitem", name="Close All Tabs")).to_be_visible()
    expect(page.get_by_role("menuitem", name="Save Environment…")).to_have_count(0)
    page.keyboard.press("Escape")
    command(page, "Show Checkpoints")
    expect(page.get_by_role("dialog")).to_contain_text("needs workspaces in containers")
    page.close()


def write_mounts(folder: Path, state: str, reason: str = "") -> None:
    """As the storage helper writes it: in one step."""
    shared = {"path": "/mnt/shared/lab", "title": "Shared lab", "since": "", "reason": reason}
    public = {"path": "/mnt/public", "title": "Public", "state": "mounted"}
    fresh = folder / "mounts.new"
    fresh.write_text(json.dumps({"mounts": [{**shared, "state": state}, public]}))
    fresh.rename(folder / "mounts.json")


def command(lab: Page, words: str) -> None:
    """Run a command from the palette, by keys."""
    lab.keyboard.press("Control+Shift+C")
    lab.keyboard.type(words)
    expect(lab.locator(".lm-CommandPalette-item.lm-mod-active")).to_contain_text(words)
    lab.keyboard.press("Enter")


def barriers_of(lab: Page) -> list[str]:
    """Those in our panel; JupyterLab's own are its business."""
    return [each for each in barriers(lab) if "petrihub" in each]
