"""The small parts without a server: descriptors, files, logs, words, the leash."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from petrihub_extensions import leash
from petrihub_extensions.descriptors import argv, read_descriptors
from petrihub_extensions.errors import AppError
from petrihub_extensions.files import find_files, resolve_file
from petrihub_extensions.handlers import read_icon
from petrihub_extensions.launching import private_folder
from petrihub_extensions.log import LogRing
from petrihub_extensions.readiness import words_for_exit

GOOD: dict[str, Any] = {"id": "good", "title": "Good", "kind": "web", "command": ["good"]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "window"}, "kind: 'window' is not one of ['web', 'desktop']"),
        ({"command": []}, "command: an app without a command cannot be started"),
        ({"command": ["a", 5]}, "command.1: 5 is not of type 'string'"),
        ({"timeout": -1}, "timeout: -1 is less than or equal to the minimum of 0"),
        ({"privileged": True}, "Additional properties are not allowed ('privileged' was"),
        ({"health": "health"}, "health: 'health' does not match '^/'"),
        ({"needs_file": True}, "needs_file: say in file_types which files it opens"),
        ({"environment": {"A B": "x"}}, "environment: 'A B' does not match"),
        ({"environment": {"A": 5}}, "environment.A: 5 is not of type 'string'"),
    ],
)
def test_a_mistake_is_named_with_its_place(change: dict[str, Any], words: str) -> None:
    apps, problems = read_descriptors(json.dumps([GOOD | change]))
    assert words in problems[0]
    assert problems[0].startswith("PETRIHUB_APPS[0]: ")
    assert [(app.id, words in app.unavailable) for app in apps] == [("good", True)]


@pytest.mark.parametrize("text", ["", "  ", "[]", "{", "{}", "5", '["x"]', '[{"id": "../x"}]'])
def test_what_is_no_app_at_all_gives_none(text: str) -> None:
    apps, problems = read_descriptors(text)
    assert apps == []
    assert bool(problems) == (text.strip() not in ("", "[]"))


def test_an_id_counts_once() -> None:
    apps, problems = read_descriptors(json.dumps([GOOD, GOOD | {"title": "Other"}]))
    assert [app.title for app in apps] == ["Good"]
    assert problems == ["PETRIHUB_APPS[1]: the id good is used twice"]


def test_placeholders_are_filled_once_and_never_by_a_shell() -> None:
    command = ("run", "{file}", "--at={file}", "-e", "f(function() {x}, {port})", "{home}")
    with_file = argv(command, {"file": "/h/{port};rm -rf", "port": "80", "home": "/h"})
    assert with_file == [
        *("run", "/h/{port};rm -rf", "--at=/h/{port};rm -rf"),
        *("-e", "f(function() {x}, 80)", "/h"),
    ]
    without = argv(command, {"file": None, "port": "80", "home": "/h"})
    assert without == ["run", "-e", "f(function() {x}, 80)", "/h"]


def test_a_root_behind_a_link_still_serves_its_files(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "a.h5ad").touch()
    (tmp_path / "link").symlink_to(real)
    assert resolve_file(tmp_path / "link", "a.h5ad") == real / "a.h5ad"


def test_a_circle_of_links_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.h5ad").symlink_to(tmp_path / "a.h5ad")
    with pytest.raises(AppError, match=r"a\.h5ad cannot be read"):
        resolve_file(tmp_path, "a.h5ad")


def test_the_search_for_files_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (tmp_path / f"{number}.BAM").touch()
    monkeypatch.setattr("petrihub_extensions.files.MOST_LOOKED_AT", 10)
    found = find_files(tmp_path, [".bam"])
    assert len(found["files"]) == 10
    assert found["complete"] is False


def test_a_log_keeps_the_end_and_reads_without_terminal_codes() -> None:
    log = LogRing(limit=100)
    for number in range(100):
        log.write(f"\x1b[31mline {number}\x1b[0m\r\n".encode())
    log.note("ended")
    assert log.text().startswith("(older lines were dropped)\nline ")
    assert log.text().endswith("line 99\n[petrihub] ended\n")
    assert log.last_line() == "line 99"


@pytest.mark.parametrize(
    ("code", "memory_kills", "words"),
    [
        (137, 1, "ran out of memory"),
        (137, 0, "was killed from outside"),
        (139, 0, "(signal 11)"),
        (127, 0, "not found"),
        (3, 0, "(exit code 3). It said nothing."),
    ],
)
def test_every_end_has_words(code: int, memory_kills: int, words: str) -> None:
    assert words in words_for_exit("X", code, "", memory_kills=memory_kills, early=True)


def test_the_folder_for_sockets_is_private_and_not_served(tmp_path: Path) -> None:
    folder = private_folder(tmp_path)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.is_relative_to(tmp_path)
    folder.rmdir()


def test_an_icon_of_the_image_must_be_a_picture(tmp_path: Path) -> None:
    (tmp_path / "own.svg").write_text("<svg/>")
    (tmp_path / "secret.txt").write_text("secret")
    assert read_icon(str(tmp_path / "own.svg")) == ("image/svg+xml", b"<svg/>")
    assert b"secret" not in read_icon(str(tmp_path / "secret.txt"))[1]
    assert read_icon("no-such-icon") == read_icon("app")
    assert read_icon(str(tmp_path / "igv.svg")) == read_icon("igv")


@pytest.mark.parametrize(
    ("program", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)],
)
def test_the_leash_tells_how_the_program_ended(program: str, code: int) -> None:
    command = [sys.executable, "-I", "-S", leash.__file__, "sh", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.wait(30) == code


def test_the_leash_waits_for_a_program_that_goes_to_the_background() -> None:
    program = "(sleep 1; echo done) & exit 0"
    command = [sys.executable, "-I", "-S", leash.__file__, "sh", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"done\n"
        assert process.wait(30) == 0
