"""What was installed is there again: saved in the browser, restored in another workspace."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import docker
import pytest
from playwright.sync_api import Page, expect

from petrihub_cli.engine import find_engine
from petrihub_core.image_server import base_repository
from petrihub_spawner.pod.model import DEPLOYMENT_LABEL, WORKSPACE_LABEL

from tests.e2e.kept_layers import give_layers, keep_layers
from tests.e2e.lab import START_MS, new_workspace, press_start
from tests.e2e.studio import Studio

pytestmark = [
    pytest.mark.browser,
    pytest.mark.docker,
    pytest.mark.timeout(3000),
    pytest.mark.parametrize("studio", ["docker"], indirect=True, scope="module"),
]

SAVE_MS = 900_000  # the first save packs the image below it too, once

# as its owner would type it: a Python package, an R package, a program for the whole system
INSTALL = r"""
set -e
cd "$(mktemp -d)"
python - <<'PYTHON'
import zipfile
with zipfile.ZipFile("probe-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("probe.py", "ANSWER = 42\n")
    wheel.writestr("probe-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n")
    wheel.writestr("probe-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("probe-1.0.dist-info/RECORD", "")
PYTHON
python -m pip install --quiet --no-index --no-deps probe-1.0-py3-none-any.whl
mkdir -p probe/R
printf 'Package: probe\nVersion: 1.0\nTitle: Probe\nDescription: Probe.\nLicense: BSD\n' >probe/DESCRIPTION
printf 'export(answer)\n' >probe/NAMESPACE
printf 'answer <- function() 42\n' >probe/R/answer.R
R CMD INSTALL probe >/dev/null 2>&1
printf '#!/bin/sh\necho 42\n' >/usr/local/bin/probe
chmod 755 /usr/local/bin/probe
"""  # noqa: E501
WORKS = r"""
set -e
python -c 'import probe; assert probe.ANSWER == 42'
Rscript -e 'stopifnot(probe::answer() == 42)'
test "$(probe)" = 42
"""
HASHES = r"""
find /usr/local /opt -newer /usr/share/petrihub -type f -path '*probe*' -print0 | sort -z | xargs -0 sha256sum
"""  # noqa: E501


class Machine:
    """The containers of one PetriHub."""

    def __init__(self, studio: Studio) -> None:
        # the browser's driver runs a loop in this thread, so ours gets a thread of its own
        with ThreadPoolExecutor(1) as thread:
            engine = thread.submit(asyncio.run, find_engine()).result()
        assert engine is not None
        self.client = docker.DockerClient(base_url=engine.url, timeout=600)
        self.deployment = (studio.up.state / "deployment-id").read_text().strip()

    def run(self, workspace: str, script: str) -> str:
        """What a script says that the workspace's owner runs in it."""
        mine = {"label": f"{DEPLOYMENT_LABEL}={self.deployment}"}
        [main] = [
            each
            for each in self.client.containers.list(filters=mine)
            if each.labels.get(WORKSPACE_LABEL, "").endswith(f"/{workspace}")
            and each.attrs["Config"]["Cmd"] == ["jupyterhub-singleuser"]
        ]
        code, said = main.exec_run(["bash", "-c", script])
        assert code == 0, said.decode()
        text: str = said.decode()
        return text


@pytest.fixture(scope="module", autouse=True)
def _kept_layers(studio: Studio) -> Iterator[None]:
    registry = studio.up.state / "images/registry/storage/docker/registry/v2"
    give_layers(registry)
    yield
    keep_layers(registry, base_repository("petrihub/bio"))


@pytest.fixture(scope="module")
def page(studio: Studio) -> Page:
    return studio.admin.new_page()


@pytest.fixture(scope="module")
def machine(studio: Studio) -> Machine:
    return Machine(studio)


def test_a_package_of_python_and_of_r_and_a_program_come_back_byte_for_byte(
    studio: Studio, page: Page, machine: Machine
) -> None:
    new_workspace(page, studio.home, "study")
    press_start(page)
    machine.run("study", INSTALL)
    machine.run("study", WORKS)
    before = machine.run("study", HASHES)
    assert before.count("probe") >= 5

    page.goto(studio.home)
    page.get_by_label("More about study").click()
    page.get_by_role("link", name="Save what is installed").click()
    page.get_by_label("Name", exact=True).fill("with probe")
    page.get_by_label("What is in it").fill("The probe for Python and R.")
    studio.shot(page, "checkpoint-save")
    page.get_by_role("button", name="See how large it is").click()
    card = page.locator(".ph-checkpoint").first
    expect(card).to_contain_text("Waits for your answer", timeout=120_000)
    expect(card).to_contain_text("would be stored")
    studio.shot(page, "checkpoint-confirm")
    page.get_by_role("button", name="Save with probe", exact=True).click()
    expect(card).to_contain_text(re.compile("Saving|Saved"))
    studio.shot(page, "checkpoint-saving", settle_ms=5000)
    expect(card.locator(".ph-pill")).to_have_text("Saved", timeout=SAVE_MS)
    studio.shot(page, "checkpoint-saved")

    page.get_by_role("link", name="What differs in with probe").click()
    expect(page.get_by_role("region", name="Files that differ")).to_contain_text(
        "/usr/local/bin/probe"
    )
    rows = page.get_by_role("region", name="Packages that differ").get_by_role("row")
    expect(rows.filter(has_text="probe").filter(has_text="Python")).to_contain_text("1.0")
    expect(rows.filter(has_text="probe").filter(has_text="R").last).to_contain_text("1.0")
    studio.shot(page, "checkpoint-changes")

    page.goto(studio.home)
    page.get_by_label("Stop study").click()
    expect(page.locator("#workspace-study .ph-pill")).to_have_text("Stopped", timeout=60_000)
    page.get_by_label("More about study").click()
    page.get_by_role("link", name="Delete").click()
    page.locator("#ph-question").get_by_role("button", name=re.compile("Delete")).click()
    expect(page.locator("#workspace-study")).to_have_count(0)

    page.goto(f"{studio.home}checkpoints")
    page.get_by_label("Start from with probe").click()
    page.get_by_label("Name of the new workspace").fill("elsewhere")
    page.get_by_role("button", name="Start a new workspace from with probe").click()
    page.wait_for_url(re.compile("/user/.*/elsewhere/lab"), timeout=START_MS)
    machine.run("elsewhere", WORKS)
    assert machine.run("elsewhere", HASHES) == before


def test_jupyterlab_saves_its_own_workspace(studio: Studio, page: Page) -> None:
    """Through the server extension and the image server's front, with the workspace's own token."""
    page.goto(f"{studio.up.url}/user/marie/elsewhere/lab")
    expect(page.locator(".jp-Launcher").first).to_be_visible(timeout=START_MS)
    page.get_by_role("menuitem", name="File", exact=True).click()
    page.get_by_role("menuitem", name="Save Environment…").click()
    panel = page.get_by_role("region", name="Checkpoints")
    expect(panel).to_contain_text("Continued from with probe")
    panel.get_by_label("Name").fill("from the lab")
    panel.get_by_role("button", name="See how large it is").click()
    save = panel.get_by_role("button", name="Save it: from the lab")
    expect(save).to_be_visible(timeout=120_000)
    expect(panel).to_contain_text("would be stored")
    studio.shot(page, "panel-measured")
    save.click()
    expect(page.locator(".Toastify")).to_contain_text("from the lab is saved.", timeout=SAVE_MS)
    panel.get_by_role("button", name="What did I change in from the lab").click()
    expect(panel).to_contain_text("/usr/local/bin/probe")
    studio.shot(page, "panel-saved")
    with page.expect_popup() as opened:
        panel.get_by_role("link", name="Start a new workspace from it: from the lab").click()
    start = opened.value.get_by_role("button", name="Start a new workspace from from the lab")
    expect(start).to_be_visible()
    studio.shot(opened.value, "panel-start")
    opened.value.close()
    panel.get_by_role("button", name="Delete from the lab").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(panel).to_contain_text("Nothing yet.")


def test_the_start_page_offers_to_continue(studio: Studio, page: Page) -> None:
    new_workspace(page, studio.home, "third")
    choice = page.get_by_label("Continue from")
    saved = choice.locator("option", has_text="with probe")
    choice.select_option(saved.get_attribute("value"))
    expect(page.locator("#ph-start-words")).to_contain_text("from with probe")
    studio.shot(page, "checkpoint-start-page")
    page.get_by_label("Notebooks").check()
    expect(choice).to_have_value("")  # it was saved in another image
