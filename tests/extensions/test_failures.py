"""What goes wrong with apps, and how it is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


async def test_a_crash_at_the_start_tells_the_last_line(workspace: Any) -> None:
    app = await workspace.opened("crash")
    assert app["state"] == "failed"
    assert (
        app["reason"] == "Crash stopped at its start (exit code 3). Its last line: no such genome"
    )
    assert app["url"] is None
    assert "first\nno such genome\n" in await workspace.log("crash")


async def test_a_failed_app_can_be_tried_again(workspace: Any) -> None:
    await workspace.opened("crash")
    assert (await workspace.open("crash")).json()["state"] == "starting"
    assert (await workspace.settled("crash", "crash"))["state"] == "failed"


async def test_a_port_that_never_opens_ends_at_the_timeout(workspace: Any) -> None:
    app = await workspace.opened("silent")
    assert app["state"] == "failed"
    assert app["reason"] == "Silent was not ready after 5 s. Its last line: thinking"


async def test_a_program_that_is_nowhere_is_named(workspace: Any) -> None:
    app = await workspace.opened("unsaid")
    assert app["state"] == "failed"
    assert app["reason"] == "Unsaid needs no-such-program-here, which is not on PATH."


async def test_a_running_app_that_crashes_says_so(
    workspace: Any, wait_until: Callable[..., Any]
) -> None:
    app = await workspace.opened("hello")
    url = workspace.running.app_url(app["url"])
    await workspace.client.post(url + "die?code=5")

    async def failed() -> dict[str, Any] | None:
        app = (await workspace.apps())["hello"]
        return app if app["state"] == "failed" else None

    reason = (await wait_until(failed))["reason"]
    assert reason == "Hello stopped by itself (exit code 5). Its last line: told to die"
    page = await workspace.page(app["url"])
    assert page.status_code == 503
    assert reason in page.text
    assert (await workspace.opened("hello"))["state"] == "ready"


async def test_a_killed_app_is_told_from_a_crashed_one(
    workspace: Any, wait_until: Callable[..., Any]
) -> None:
    app = await workspace.opened("hello")
    await workspace.client.post(workspace.running.app_url(app["url"]) + "kill")

    async def failed() -> str:
        app = (await workspace.apps())["hello"]
        return app["reason"] if app["state"] == "failed" else ""

    assert "memory" in await wait_until(failed)


async def test_what_is_not_available_says_why_and_does_not_start(workspace: Any) -> None:
    apps = await workspace.apps()
    assert apps["absent"]["state"] == "unavailable"
    assert apps["absent"]["reason"] == "Absent is not installed. Choose another profile."
    assert apps["forbidden"]["reason"] == "Your platform admin has switched this off."
    for id_ in ("absent", "forbidden"):
        answer = await workspace.open(id_)
        assert answer.status_code == 409
        assert answer.json() == {"message": apps[id_]["reason"], "hint": ""}


async def test_a_mistake_in_one_description_greys_that_app_only(workspace: Any) -> None:
    wrong = (await workspace.apps())["wrong"]
    assert wrong["state"] == "unavailable"
    assert "command: 'rm -rf /' is not of type 'array'" in wrong["reason"]
    assert "PETRIHUB_APPS[11]: command" in workspace.running.log.read_text()


async def test_an_unknown_app_is_a_404_in_words(workspace: Any) -> None:
    answer = await workspace.open("nothing")
    assert answer.status_code == 404
    assert answer.json()["message"] == "This workspace has no such app."


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("../home-of-bob/secret.h5ad", 400, "not a file of your workspace"),
        ("data/../../home-of-bob/secret.h5ad", 400, "not a file of your workspace"),
        ("/etc/passwd", 400, "not a file of your workspace"),
        ("", 400, "not a file of your workspace"),
        ("out.h5ad", 400, "leads out of your workspace"),
        ("data", 400, "is not a file"),
        ("one\n.h5ad", 400, "control characters"),
        ("nul\0.h5ad", 400, "control characters"),
        ("gone.h5ad", 404, "not there any more"),
        ("one.h5ad/deeper.h5ad", 404, "not there any more"),
        ("notes.txt", 400, "does not open notes.txt"),
        (None, 400, "opens a file"),
    ],
)
async def test_a_forged_path_is_refused_in_words(
    workspace: Any, path: str | None, status: int, words: str
) -> None:
    answer = await workspace.open("viewer", path)
    assert answer.status_code == status
    assert words in answer.json()["message"]
    assert (await workspace.apps())["viewer"]["instances"] == []


async def test_an_absolute_path_of_a_sibling_folder_is_refused(workspace: Any) -> None:
    sibling = workspace.home.with_name("home-of-bob") / "secret.h5ad"
    assert sibling.is_file()
    assert (await workspace.open("viewer", str(sibling))).status_code == 400


async def test_an_app_without_files_refuses_one(workspace: Any) -> None:
    answer = await workspace.open("hello", "one.h5ad")
    assert answer.status_code == 400
    assert answer.json()["message"] == "Hello does not open files."


@pytest.mark.parametrize(
    "body", ["[]", "{", '{"path": 5}', '{"path": null, "command": "x"}', '"x"']
)
async def test_a_request_with_anything_else_is_refused(workspace: Any, body: str) -> None:
    answer = await workspace.client.post("petrihub/api/apps/hello/open", content=body)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("The request")


async def test_the_log_is_bounded(workspace: Any) -> None:
    await workspace.opened("chatty")
    log = await workspace.log("chatty")
    assert len(log) < 300_000
    assert log.startswith("(older lines were dropped)\n")
    assert "line 59999\n" in log


async def test_one_instance_too_many_is_refused(workspace: Any) -> None:
    names = [f"many-{number}.h5ad" for number in range(9)]
    for name in names:
        (workspace.home / name).touch()
    answers = [await workspace.open("viewer", name) for name in names]
    assert [answer.status_code for answer in answers] == [202] * 8 + [409]
    assert answers[-1].json()["message"] == "Viewer is already open 8 times."
    await workspace.stop("viewer")
    for name in names:
        (workspace.home / name).unlink()


async def test_files_for_the_chooser(workspace: Any) -> None:
    hidden = workspace.home / ".cache"
    hidden.mkdir(exist_ok=True)
    (hidden / "hidden.h5ad").touch()
    found = (await workspace.client.get("petrihub/api/files?types=.h5ad")).json()
    assert {file["path"] for file in found["files"]} == {
        "one.h5ad",
        "two.h5ad",
        "data/deep {port}.h5ad",
    }
    assert found["complete"] is True
    nothing = (await workspace.client.get("petrihub/api/files?types=")).json()
    assert nothing["files"] == []


def test_nothing_is_left_when_the_server_is_killed(jupyter_server: Any, tmp_path: Path) -> None:
    """The leash holds: the Jupyter server dies in the worst way, and takes its apps along."""
    import sys
    import time

    import httpx

    script = Path(__file__).parent / "apps" / "stubborn.py"
    pids = tmp_path / "pids"
    app = {
        **{"id": "stubborn", "title": "Stubborn", "kind": "web"},
        "command": [sys.executable, str(script), "{port}", str(pids)],
    }
    running = jupyter_server([app])
    headers = {"Authorization": "token a-token-for-tests"}
    answer = httpx.post(
        running.url + "petrihub/api/apps/stubborn/open", json={"path": None}, headers=headers
    )
    assert answer.status_code == 202
    deadline = time.monotonic() + 60
    while not (pids.exists() and pids.read_text().count(" ")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.process.kill()
    left = [int(pid) for pid in pids.read_text().split()]
    while any(Path(f"/proc/{pid}").exists() for pid in left):
        assert time.monotonic() < deadline, "the app outlived its server"
        time.sleep(0.1)
