"""A home on a file server as its researcher meets it: set up, lost, back, stopped."""

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from petrihub_core.ports import free_port
from petrihub_spawner.backends.networks import networks_of_this_machine

from tests.e2e.conftest import signed_up
from tests.e2e.lab import START_MS, be_patient, new_workspace, press_start
from tests.e2e.studio import Studio
from tests.e2e.test_places import CONTENTS, look
from tests.platform import petrihub
from tests.storage.house import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.timeout(1800)]

TOLD_MS = 60_000


@dataclass
class FileServer:
    """`petrihub fileserver` with its data in a folder of its own."""

    data: Path
    portal: str
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        words = ("--portal", self.portal, "--data", self.data, "--port", self.port)
        with self.data.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                petrihub("fileserver", *words), stdout=log, stderr=subprocess.STDOUT
            )

    def kill(self) -> None:
        """As if its machine lost its power."""
        assert self.process is not None
        for each in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.kill()
        self.process.wait(60)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    @property
    def own(self) -> Path:
        return self.data / ".server"

    def section(self, host: str) -> str:
        """What it says is to be written into petrihub.toml."""
        public = self.own / "host_key.pub"
        key = wait_for(lambda: public.exists() and public.read_text(), "its key")
        return (
            f'[storage]\ncarrier = "sftp"\n[storage.sftp]\nhost = "{host}"\nport = {self.port}\n'
            f'host_key = "{" ".join(key.split()[:2])}"\n'
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    folder = tmp_path_factory.mktemp("files")
    made = FileServer(folder / "data", f"http://127.0.0.1:{free_port()}", free_port())
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def studio(
    browser: Browser, server: FileServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Studio]:
    state = tmp_path_factory.mktemp("remote") / "state"
    (state / "secrets").mkdir(parents=True, mode=0o700)
    taken = networks_of_this_machine()
    free = next(
        each
        for each in IPv4Network("10.217.0.0/16").subnets(new_prefix=24)
        if not any(each.overlaps(other) for other in taken)
    )
    (state / "petrihub.toml").write_text(
        f'[workspaces]\nstop_on_exit = true\n[docker]\nhub_subnet = "{free}"\n'
        + server.section(str(next(free.hosts())))  # this machine, as containers reach it
    )
    token = state / "secrets" / "file_server_token"
    token.touch(mode=0o600)
    own = server.own / "token"
    token.write_text(wait_for(lambda: own.exists() and own.read_text(), "its token"))
    with signed_up(browser, state, "docker", int(server.portal.rpartition(":")[2])) as made:
        yield made


def test_f38_a40_a_home_on_a_file_server(studio: Studio, server: FileServer) -> None:
    """F38: lost, a save says so and hangs nobody; back, it heals. A40: stopped, its key is gone."""
    page = studio.admin.new_page()
    new_workspace(page, studio.home, "study")
    press_start(page)
    be_patient(page)
    storage = page.locator(".petrihub-Storage")
    expect(storage).to_have_text("Storage: ok", timeout=TOLD_MS)
    [home] = (server.data / "homes").iterdir()
    paper = home / "files" / "paper.txt"
    # a link out of the home
    expect(page.locator(".jp-DirListing-item", has_text="Public")).to_be_visible()
    editor = opened(page, "paper.txt")
    editor.click()
    page.keyboard.insert_text("first")
    page.keyboard.press("Control+s")
    wait_for(lambda: paper.exists() and paper.read_text() == "first", "the file on the server")

    expect(page.locator(".lm-TabBar-tab.jp-mod-dirty")).to_have_count(0)

    said = told_while_lost(studio, server, page)
    for each in said:
        assert "File Save Error for paper.txt" in each
        assert "storage of these files does not answer" in each

    server.start()
    expect(storage).to_have_text("Storage: ok", timeout=TOLD_MS)
    editor.click()
    page.keyboard.press("Control+s")
    wait_for(lambda: "second" in paper.read_text(), "the file on the server")
    studio.shot(page, "remote-back", settle_ms=1000)

    keys = server.own / "keys" / f"h-{home.name}"
    assert keys.read_text()
    page.goto(studio.home)
    page.get_by_label("Stop study").click()
    expect(page.locator("#workspace-study .ph-pill")).to_have_text("Stopped", timeout=60_000)
    wait_for(lambda: not keys.read_text(), "the end of the key")
    wait_for(lambda: not list((server.own / "sessions").iterdir()), "the end of its sessions")
    # counted by the server when it came back
    page.reload()
    expect(page.locator(".ph-places li").first).to_contain_text(re.compile(r"in \d+ files"))
    look(studio, page, "remote-counted")


def told_while_lost(studio: Studio, server: FileServer, page: Page) -> list[str]:
    """What dialogs say from the loss of the file server until a file could not be saved."""
    looked: list[str] = []
    page.on("response", lambda answer: looked.append(f"{answer.status} {answer.url}"))
    said: list[str] = []

    def close(dialog: Locator) -> None:
        said.append(dialog.inner_text())
        studio.shot(page, "remote-not-saved")
        dialog.get_by_role("button").last.click()

    # also by itself: JupyterLab saves what it believes to have changed
    page.add_locator_handler(page.locator("dialog.jp-Dialog"), close, no_wait_after=True)

    def found(status: str) -> list[str]:
        return [each for each in looked if each.startswith(status) and "/api/contents" in each]

    server.kill()
    storage = page.locator(".petrihub-Storage")
    expect(storage).to_contain_text("Home: lost, The file server does not answer.", timeout=TOLD_MS)
    storage.click()
    expect(page.get_by_role("list", name="Mounted folders")).to_contain_text("does not answer")
    look(studio, page, "remote-lost")
    page.keyboard.press("Escape")
    # it looks at the folder that it shows from time to time, and opens no dialog for that
    wait_for(lambda: page.wait_for_timeout(200) or found("503"), "its look", lambda: str(looked))
    assert not found("404")
    assert all("File Save Error" in each for each in said), said
    editor = page.locator(".jp-FileEditor .cm-content")
    editor.click()
    page.keyboard.insert_text(" and second")
    said.clear()
    page.keyboard.press("Control+s")
    for _ in range(300):  # 30 s are promised of errors
        expect(editor).to_be_visible()
        if said:
            break
        page.wait_for_timeout(100)
    assert said
    return said


def opened(page: Page, name: str) -> Locator:
    """The editor of a new text file at home."""
    body = {"type": "file", "format": "text", "content": ""}
    assert page.evaluate(CONTENTS, ["PUT", name, body]) == 201
    page.goto(f"{page.url.split('/lab')[0]}/lab/tree/{name}")
    editor = page.locator(".jp-FileEditor .cm-content")
    expect(editor).to_be_visible(timeout=START_MS)
    return editor
