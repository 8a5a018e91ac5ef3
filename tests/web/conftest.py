"""Fixtures of the page tests.

hub      a real JupyterHub with our pages (module); `hub.hold` and `hub.release` steer its starts
visit    opens a page as a person; no script may have complained or loaded from elsewhere
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from petrihub_core.ports import free_port

from tests.platform import wait_until_up

HERE = Path(__file__).parent
TOML = """
name = "Rosalind lab"
[workspaces]
per_person = 3
[[profiles]]
id = "bio-studio"
title = "Bio studio"
description = "Everything for single-cell and genome work, with a Linux desktop."
sizes = ["medium", "small", "large"]
[[profiles]]
id = "notebooks"
title = "Notebooks"
description = "JupyterLab with Python and a terminal: the lightest start."
sizes = ["small", "medium"]
[[profiles]]
id = "gpu"
title = "Deep learning"
description = "PyTorch and napari on a GPU."
sizes = ["large"]
[[profiles]]
id = "broken"
title = "Preview"
description = "The next release, for people who like to help."
sizes = ["small"]
[[profiles]]
id = "full"
title = "Archive"
description = "Reads old tapes."
sizes = ["small"]
"""


@dataclass(frozen=True)
class Hub:
    """A running hub; addresses begin at `url`, without a slash at the end."""

    url: str
    folder: Path

    def hold(self, workspace: str, stage: str) -> None:
        """Starts of `workspace` wait in `stage` ("stop": stops wait) until released."""
        (self.folder / "hold" / f"{workspace}-{stage}").touch()

    def release(self, workspace: str, stage: str) -> None:
        (self.folder / "hold" / f"{workspace}-{stage}").unlink()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A real JupyterHub with its proxy, in a folder of its own."""
    if shutil.which("configurable-http-proxy") is None:
        reason = "configurable-http-proxy is not on PATH"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    folder = tmp_path_factory.mktemp("hub")
    (folder / "hold").mkdir()
    (folder / "petrihub.toml").write_text(TOML)
    for name in ("port", "hub-port", "proxy-port"):
        (folder / name).write_text(str(free_port()))
    port = (folder / "port").read_text()
    log = folder / "hub.log"
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyterhub", "--config", str(HERE / "hub_config.py")],
        cwd=folder,
        env=os.environ | {"PAGES_FOLDER": str(folder), "CONFIGPROXY_AUTH_TOKEN": "a" * 32},
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_up(f"{url}/hub/health", process, log)
        yield Hub(url, folder)
    finally:
        for held in (folder / "hold").iterdir():
            held.unlink()
        process.terminate()
        process.wait(60)


@pytest.fixture
def visit(hub: Hub, browser: Browser) -> Iterator[Callable[..., Page]]:
    """`visit("ana", "/hub/home")` is a page signed in as ana; options are the browser context's."""
    contexts = []
    complaints: list[str] = []
    elsewhere: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        # a page may ask for what is not there: the browser notes the status, no script failed
        if (
            message.type in {"error", "warning"}
            and "the server responded with a status of" not in message.text
        ):
            complaints.append(message.text)

    def see(request: Request) -> None:
        if not request.url.startswith((hub.url, "data:")):
            elsewhere.append(request.url)

    def open_as(person: str, path: str, **options: object) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", see)
        if person:
            page.goto(f"{hub.url}/hub/login?next=%2Fhub%2Fhome")
            page.get_by_label("Name").fill(person)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url("**/hub/home")
        page.goto(f"{hub.url}{path}")
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert complaints == []
    assert elsewhere == []
