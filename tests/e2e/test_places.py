"""Shared folders as their people meet them: in the file browser, full, counted, and taken back."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from petrihub_core.database import Database
from petrihub_core.deployment import read_deployment
from petrihub_core.places import Kind, external
from petrihub_core.records import Person

from tests.e2e.lab import START_MS, be_patient, new_workspace, press_start
from tests.e2e.studio import Studio
from tests.e2e.test_checkpoints import Machine

pytestmark = [
    pytest.mark.browser,
    pytest.mark.docker,
    pytest.mark.timeout(3000),
    pytest.mark.parametrize("studio", ["docker"], indirect=True, scope="module"),
]

GONE_MS = 60_000  # what is promised
CONTENTS = """async ([method, path, body]) => {
  const base = JSON.parse(document.getElementById("jupyter-config-data").textContent).baseUrl;
  const xsrf = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/)[1];
  const answer = await fetch(`${base}api/contents/${path}`, {
    method, headers: {"X-XSRFToken": xsrf}, body: body && JSON.stringify(body)});
  return answer.status;
}"""


async def person_id(studio: Studio) -> str:
    database = Database.open(read_deployment(studio.up.state / "petrihub.toml").database_url)
    async with database.reading() as session:
        found = await session.scalar(select(Person.id).where(Person.username == "marie"))
    await database.close()
    assert found
    return found


@pytest.fixture(scope="module")
def machine(studio: Studio) -> Machine:
    """With a home for marie that 24 MB fill."""
    made = Machine(studio)
    with ThreadPoolExecutor(1) as thread:
        marie = thread.submit(asyncio.run, person_id(studio)).result()
    made.client.volumes.create(
        external(made.deployment, Kind.HOME, marie),
        driver="local",
        driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=24m,uid=1000,gid=1000"},
        labels={"org.petrihub.deployment": made.deployment},
    )
    return made


def look(studio: Studio, page: Page, name: str) -> None:
    """Pictures in light, in dark, and as wide as a telephone."""
    studio.shot(page, name)
    page.emulate_media(color_scheme="dark")
    studio.shot(page, f"{name}-dark")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 844})
    studio.shot(page, f"{name}-narrow")
    page.set_viewport_size({"width": 1360, "height": 850})


def api(studio: Studio, page: Page, method: str, path: str, body: object = None) -> None:
    """A call of the portal's API as the admin."""
    page.goto(studio.home)
    answer = page.request.fetch(
        f"{studio.home}api/v1/{path}",
        method=method,
        headers={"X-XSRFToken": page.locator("body").get_attribute("data-xsrf") or ""},
        data=body,
    )
    assert answer.ok, answer.text()


@pytest.fixture(scope="module")
def lab(studio: Studio, machine: Machine) -> Page:
    """JupyterLab of somebody who is in one group."""
    page = studio.admin.new_page()
    api(studio, page, "POST", "groups", {"name": "imaging", "title": "Light sheet"})
    api(studio, page, "PUT", "groups/imaging/members/marie")
    new_workspace(page, studio.home, "study")
    page.get_by_label("Notebooks").check()
    press_start(page)
    be_patient(page)
    return page


def test_the_file_browser_shows_the_folder_of_a_group(
    studio: Studio, machine: Machine, lab: Page
) -> None:
    machine.run("study", "echo 42 >/mnt/shared/imaging/scan.csv && test ! -w /mnt")
    files = lab.locator(".jp-DirListing-content")
    expect(files.get_by_text("Public", exact=True)).to_be_visible()
    files.get_by_text("Shared", exact=True).dblclick()
    expect(files.get_by_text("imaging", exact=True)).to_be_visible()
    studio.shot(lab, "places-shared")
    files.get_by_text("imaging", exact=True).dblclick()
    files.get_by_text("scan.csv").dblclick()
    expect(lab.locator(".jp-CSVViewer")).to_be_visible(timeout=START_MS)
    studio.shot(lab, "places-group", settle_ms=1000)


def test_a_deleted_link_never_takes_the_groups_files_with_it(machine: Machine, lab: Page) -> None:
    assert lab.evaluate(CONTENTS, ["DELETE", "Shared/imaging", None]) >= 400
    assert machine.run("study", "cat /mnt/shared/imaging/scan.csv").strip() == "42"
    body = {"type": "file", "format": "text", "content": "43"}
    assert lab.evaluate(CONTENTS, ["PUT", "Shared/imaging/mine.txt", body]) == 201
    assert lab.evaluate(CONTENTS, ["DELETE", "Shared/imaging/mine.txt", None]) == 204
    assert machine.run("study", "ls /mnt/shared/imaging").split() == ["scan.csv"]


def test_a_full_home_says_so_and_keeps_what_was_saved(
    studio: Studio, machine: Machine, lab: Page
) -> None:
    """F17: the save fails in words, the old file is whole, and it works again after tidying up."""
    machine.run("study", "cd && printf first >notes.txt")
    base = lab.url.split("/lab")[0]
    lab.goto(f"{base}/lab/tree/notes.txt")
    editor = lab.locator(".jp-FileEditor .cm-content")
    expect(editor).to_contain_text("first", timeout=START_MS)
    machine.run("study", "cd && dd if=/dev/zero of=big bs=1M 2>/dev/null || true")
    editor.click()
    lab.keyboard.insert_text("x" * 200_000)
    lab.keyboard.press("Control+s")
    told = lab.get_by_text("notes.txt could not be saved. Is there no room left?")
    expect(told).to_be_visible(timeout=30_000)
    studio.shot(lab, "places-full")
    assert machine.run("study", "cd && cat notes.txt") == "first"
    machine.run("study", "rm ~/big")
    editor.click()
    lab.keyboard.press("Control+s")
    expect(told).to_have_count(0, timeout=30_000)
    assert machine.run("study", "cd && wc -c <notes.txt").strip() == "200005"


def test_who_is_taken_out_of_the_group_loses_its_folder_within_a_minute(
    studio: Studio, machine: Machine, lab: Page
) -> None:
    page = studio.admin.new_page()
    page.goto(f"{studio.home}groups/imaging")
    look(studio, page, "places-my-group")
    page.goto(f"{studio.home}admin/groups/imaging/delete")
    studio.shot(page, "places-delete-group")
    api(studio, page, "DELETE", "groups/imaging/members/marie")
    page.goto(studio.home)
    expect(page.locator("#workspace-study .ph-pill")).to_have_text("Stopped", timeout=GONE_MS)
    page.goto(f"{studio.home}feed")
    told = page.get_by_text("You do not have /mnt/shared/imaging any more.")
    expect(told).to_be_visible()
    studio.shot(page, "places-feed")
    api(studio, page, "POST", "my/workspaces/study/start")
    page.goto(studio.home)
    expect(page.locator("#workspace-study .ph-pill")).to_have_text("Running", timeout=START_MS)
    assert machine.run("study", "ls /mnt; ls ~").split().count("Shared") == 0


def test_what_is_kept_is_counted_and_shown(studio: Studio, machine: Machine) -> None:
    page = studio.admin.new_page()
    page.goto(studio.home)
    places = page.locator(".ph-places li")
    expect(places).to_have_count(2)
    for _ in range(120):  # the reconciler counts what is new within a minute
        if "not counted yet" not in (places.first.text_content() or ""):
            break
        page.wait_for_timeout(1000)
        page.reload()
    # as it was when it was counted; that it is right: tests/spawner/docker/test_docker_places.py
    expect(places.first).to_contain_text(re.compile("[1-9][0-9]* files?|empty"))
    look(studio, page, "places-home")
    api(studio, page, "DELETE", "groups/imaging")
    page.goto(f"{studio.home}admin/groups")
    expect(page.get_by_text("Light sheet (imaging)")).to_be_visible()
    look(studio, page, "places-kept")
    page.goto(f"{studio.home}admin/people")
    studio.shot(page, "places-people")
