"""What a researcher does in the browser, as functions over a page."""

import re
from urllib.parse import quote

from playwright.sync_api import Page, expect

START_MS = 180_000  # waiting ends as soon as it is ready; this is for a busy machine
NOTEBOOK_MS = 240_000


def new_workspace(page: Page, home: str, name: str) -> None:
    """From the home page to the start page of a new workspace."""
    page.goto(home)
    page.get_by_label("Name of the new workspace").fill(name)
    page.get_by_role("button", name="New workspace").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Start")


def be_patient(page: Page) -> None:
    """From now on wait for a file that is long in opening, as a person on a busy machine does."""
    slow = page.get_by_role("dialog").filter(has_text="is taking some time to load")
    wait = slow.get_by_role("button", name="Continue waiting")
    page.add_locator_handler(slow, lambda _: wait.click())


def press_start(page: Page) -> None:
    """Press Start and wait until JupyterLab shows its launcher."""
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(re.compile("/user/.*/lab"), timeout=START_MS)
    expect(page.locator(".jp-Launcher").first).to_be_visible(timeout=START_MS)


def run_all(page: Page, lab_url: str, path: str) -> None:
    """Open a notebook and run it to its last cell; fails on the first error shown."""
    be_patient(page)
    page.goto(f"{lab_url}/tree/{quote(path)}")
    notebook = page.locator(".jp-NotebookPanel")
    expect(notebook).to_be_visible(timeout=60_000)
    # run only once the kernel is there: the menu entry does nothing before
    expect(page.locator("#jp-main-statusbar")).to_contain_text(
        "Python 3 (ipykernel) | Idle", timeout=90_000
    )
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    last = notebook.locator(".jp-CodeCell").last
    expect(last.locator(".jp-InputPrompt").first).to_have_text(
        re.compile(r"\[\d+\]:"), timeout=NOTEBOOK_MS
    )
    errors = notebook.locator("[data-mime-type='application/vnd.jupyter.stderr'] >> text=Traceback")
    expect(errors).to_have_count(0)
    expect(notebook.locator(".jp-RenderedText pre .ansi-red-fg")).to_have_count(0)
