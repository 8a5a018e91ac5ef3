"""What is installed once for each content, while several deployments want it at once."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from petrihub_cli.made import lead, made


def test_those_who_want_the_same_at_once_get_one_and_never_half_of_it(tmp_path: Path) -> None:
    begun, go_on, makers = threading.Event(), threading.Event(), []

    def slowly(folder: Path) -> None:
        makers.append(folder)
        folder.mkdir()
        (folder / "first half").touch()
        begun.set()
        assert go_on.wait(60)
        (folder / "second half").touch()

    def want() -> set[str]:
        return {file.name for file in made(tmp_path, "studio", "a", slowly).iterdir()}

    with ThreadPoolExecutor() as threads:
        first = threads.submit(want)
        assert begun.wait(60)
        second = threads.submit(want)
        assert not (tmp_path / "studio-a").exists()
        go_on.set()
        assert first.result() == second.result() == {"first half", "second half"}
    assert len(makers) == 1


def test_who_wants_another_content_leaves_what_others_run_from(tmp_path: Path) -> None:
    mine = made(tmp_path / "made", "studio", "a", Path.mkdir)
    lead(tmp_path / "studio", mine)
    other = made(tmp_path / "made", "studio", "b", Path.mkdir)
    assert mine.is_dir()
    assert (tmp_path / "studio").resolve() == mine
    lead(tmp_path / "studio", other)
    assert (tmp_path / "studio").resolve() == other


def test_what_nobody_wanted_for_a_day_is_removed(tmp_path: Path) -> None:
    old, used = (made(tmp_path, "studio", each, Path.mkdir) for each in "ab")
    elsewhere = made(tmp_path, "cellxgene", "a", Path.mkdir)
    for folder in (old, used, elsewhere):
        os.utime(folder, (0, 0))
    made(tmp_path, "studio", "b", Path.mkdir)
    assert not old.exists()
    assert used.exists()
    assert elsewhere.exists()


def test_one_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        folder.mkdir()
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        made(tmp_path, "studio", "a", fails)
    assert not (tmp_path / "studio-a").exists()
    assert made(tmp_path, "studio", "a", Path.mkdir).is_dir()


def test_a_folder_of_an_earlier_version_becomes_a_link(tmp_path: Path) -> None:
    (tmp_path / "studio" / "bin").mkdir(parents=True)
    lead(tmp_path / "studio", made(tmp_path / "made", "studio", "a", Path.mkdir))
    assert (tmp_path / "studio").is_symlink()
