"""Tools as workspaces of their own, behind the gate, as people use them: real images and engine."""

import re
import socket

import docker
import pytest
from playwright.sync_api import Page, expect

from petrihub_cli.engine import find_engine
from petrihub_spawner.pod.model import DEPLOYMENT_LABEL, WORKSPACE_LABEL

from tests.e2e.lab import START_MS, new_workspace
from tests.e2e.studio import Studio, choose_password

pytestmark = [
    pytest.mark.browser,
    pytest.mark.docker,
    pytest.mark.timeout(1800),
    pytest.mark.parametrize("studio", ["docker"], indirect=True),
]
BACK_MS = 60_000


def start(studio: Studio, page: Page, name: str, profile: str) -> None:
    """Start a workspace of this profile and wait until its address is open."""
    new_workspace(page, studio.home, name)
    page.get_by_role("radio", name=re.compile(f"^{profile}")).check()
    studio.shot(page, f"tool-start-{name}")
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(re.compile(f"/user/marie/{name}/"), timeout=START_MS)


@pytest.fixture(scope="module")
def engine(studio: Studio) -> docker.DockerClient:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(asyncio.run, find_engine()).result()
    assert found is not None
    return docker.DockerClient(base_url=found.url)


@pytest.fixture(scope="module")
def marie(studio: Studio) -> Page:
    """The admin, with CELLxGENE open."""
    page = studio.admin.new_page()
    start(studio, page, "cells", "CELLxGENE")
    return page


def containers(studio: Studio, engine: docker.DockerClient, workspace: str) -> dict[str, object]:
    """The tool's and the gate's container of this workspace, by what they run."""
    deployment = (studio.up.state / "deployment-id").read_text().strip()
    mine = {"label": [f"{DEPLOYMENT_LABEL}={deployment}", WORKSPACE_LABEL]}
    found = {}
    for each in engine.containers.list(all=True, filters=mine):
        if each.labels[WORKSPACE_LABEL].endswith(f"/{workspace}"):
            command = each.attrs["Config"]["Cmd"] or []
            found["gate" if command == ["gate"] else "tool"] = each
    return found


def test_cellxgene_opens_our_example_for_who_has_no_file_yet(studio: Studio, marie: Page) -> None:
    expect(marie.locator("canvas").first).to_be_visible(timeout=START_MS)
    expect(marie).to_have_title(re.compile("CELL.GENE"))
    studio.shot(marie, "tool-cellxgene", settle_ms=3000)


def test_the_tools_container_has_nothing_of_the_hubs(
    studio: Studio, marie: Page, engine: docker.DockerClient
) -> None:
    found = containers(studio, engine, "cells")
    tool, gate = found["tool"].attrs, found["gate"].attrs
    names = {line.partition("=")[0] for line in tool["Config"]["Env"]}
    assert not {name for name in names if name.startswith(("JUPYTERHUB", "JPY"))}
    assert any(line.startswith("JUPYTERHUB_API_TOKEN=") for line in gate["Config"]["Env"])
    assert tool["HostConfig"]["NetworkMode"] == f"container:{gate['Id']}"
    assert tool["HostConfig"]["CapDrop"] == ["ALL"]
    assert tool["Config"]["User"] == "1000:1000"


def test_nobody_reaches_the_tool_around_the_gate(
    studio: Studio, marie: Page, engine: docker.DockerClient
) -> None:
    gate = containers(studio, engine, "cells")["gate"].attrs
    (network,) = gate["NetworkSettings"]["Networks"].values()
    address = network["IPAddress"]
    with socket.create_connection((address, 8888), timeout=5):
        pass  # the gate
    for port in (5005, 8889):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, port), timeout=5)


def test_somebody_else_may_not_enter_and_is_told_so(studio: Studio, marie: Page) -> None:
    bob = studio.browser.new_context().new_page()
    bob.goto(studio.invitation())
    choose_password(bob, "bob")
    expect(bob).to_have_url(studio.home)
    answer = bob.goto(f"{studio.up.url}/user/marie/cells/")
    assert answer is not None
    assert answer.status == 403
    expect(bob.locator("main")).not_to_contain_text("canvas")
    studio.shot(bob, "tool-refused")
    script = bob.request.get(f"{studio.up.url}/user/marie/cells/api/v0.2/schema")
    assert script.status in (401, 403)


def test_the_owner_sees_who_was_there(studio: Studio, marie: Page) -> None:
    page = studio.admin.new_page()
    page.goto(studio.home)
    page.get_by_label("More about cells").click()
    studio.shot(page, "tool-menu")
    page.get_by_role("link", name="Who was here").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Who was in cells")
    expect(page.locator("tbody tr").first).to_contain_text("marie")
    expect(page.locator("tbody")).not_to_contain_text("bob")
    studio.shot(page, "tool-visits")
    page.close()


def test_a_tool_that_was_killed_says_so_and_comes_back(
    studio: Studio, marie: Page, engine: docker.DockerClient
) -> None:
    tool = containers(studio, engine, "cells")["tool"]
    # as the kernel does it when the memory is full: from within, unasked
    tool.exec_run(["python3", "-c", "import os; os.kill(-1, 9)"])
    marie.goto(f"{studio.up.url}/user/marie/cells/", wait_until="commit")
    expect(marie.get_by_role("heading", name="CELLxGENE has ended")).to_be_visible()
    expect(marie.locator("pre")).to_contain_text("cellxgene")
    studio.shot(marie, "tool-ended")
    expect(marie.locator("canvas").first).to_be_visible(timeout=START_MS)
    tool.reload()
    assert tool.attrs["RestartCount"] >= 1


def test_the_table_explorer_shows_a_table_of_the_persons(studio: Studio, marie: Page) -> None:
    page = studio.admin.new_page()
    start(studio, page, "tables", "Table explorer")
    plot = page.locator("#plot img")
    expect(plot).to_be_visible(timeout=START_MS)
    expect(page.locator("#said")).to_have_text("84 rows, 5 columns.")
    studio.shot(page, "tool-shiny")
    page.locator("input[type=file]").set_input_files(
        {"name": "mine.csv", "mimeType": "text/csv", "buffer": b"dose,growth\n1,2\n2,3.5\n4,5\n"}
    )
    expect(page.locator("#said")).to_have_text("3 rows, 2 columns.", timeout=BACK_MS)
    page.get_by_role("tab", name="Table", exact=True).click()
    expect(page.locator("#table")).to_contain_text("growth")
    studio.shot(page, "tool-shiny-table")
    page.close()
