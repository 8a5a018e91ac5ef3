"""The links in the home to shared folders: refreshed, and never in the place of a person's own."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from petrihub_extensions import places
from petrihub_extensions.errors import AppError
from petrihub_extensions.files import find_files, resolve_file
from petrihub_extensions.places import link_places, mounted

LOG = logging.getLogger("test")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("shared/imaging", "shared/genomics", "public", "elsewhere"):
        (tmp_path / "mnt" / name).mkdir(parents=True)
    mnt = tmp_path / "mnt"
    monkeypatch.setattr(places, "_OURS", (f"{mnt}/shared/", f"{mnt}/public"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def start(home: Path, monkeypatch: pytest.MonkeyPatch):
    """Starts the workspace with these groups mounted."""

    def begin(*groups: str) -> dict[str, str]:
        mnt = home.parent / "mnt"
        told = {f"Shared/{name}": f"{mnt}/shared/{name}" for name in groups}
        told["Public"] = f"{mnt}/public"
        monkeypatch.setenv(places.VARIABLE, json.dumps(told))
        link_places(home, LOG)
        return {
            str(path.relative_to(home)): os.readlink(path)
            for path in sorted(home.rglob("*"))
            if path.is_symlink()
        }

    return begin


def test_links_follow_what_is_mounted(start, home: Path) -> None:
    assert list(start("imaging", "genomics")) == ["Public", "Shared/genomics", "Shared/imaging"]
    assert list(start("imaging")) == ["Public", "Shared/imaging"]
    assert list(start()) == ["Public"]
    assert not (home / "Shared").exists()
    assert list(start("genomics")) == ["Public", "Shared/genomics"]


def test_what_is_a_persons_own_stays(start, home: Path, tmp_path: Path) -> None:
    (home / "Public").write_text("mine")
    (home / "Shared/imaging").mkdir(parents=True)
    (home / "Shared/mine.txt").write_text("mine")
    (home / "Shared/own").symlink_to(tmp_path / "mnt/elsewhere")
    links = start("imaging", "genomics")
    assert list(links) == ["Shared/genomics", "Shared/own"]
    assert (home / "Public").read_text() == "mine"
    start()
    assert (home / "Shared/mine.txt").read_text() == "mine"
    assert (home / "Shared/own").is_symlink()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_shared_that_is_no_folder_stays(start, home: Path, tmp_path: Path, kind: str) -> None:
    """And what a link called so leads to gets nothing of ours."""
    if kind == "file":
        (home / "Shared").write_text("mine")
    else:
        (home / "Shared").symlink_to(tmp_path / "mnt/elsewhere")
    assert "Shared/imaging" not in start("imaging")
    assert list((tmp_path / "mnt/elsewhere").iterdir()) == []


def test_a_full_disk_keeps_nobody_out(start, home: Path, caplog) -> None:
    (home / "Shared").mkdir()
    for name in ("x" * 255, "x" * 256):  # the second is longer than a file system takes
        start(name)
    assert "could not be written" in caplog.text


@pytest.mark.parametrize(
    "told", ["", "{", "[]", '{"../x": "/mnt/public"}', '{"/x": "/mnt/public"}', '{"a": "/etc"}']
)
def test_what_names_no_place_makes_no_link(home: Path, monkeypatch, told: str) -> None:
    monkeypatch.setattr(places, "_OURS", ("/mnt/shared/", "/mnt/public"))
    monkeypatch.setenv(places.VARIABLE, told)
    assert mounted() == {}
    link_places(home, LOG)
    assert list(home.iterdir()) == []


def test_apps_open_and_find_files_of_a_place_and_of_nowhere_else(start, home: Path) -> None:
    start("imaging")
    mnt = home.parent / "mnt"
    (mnt / "shared/imaging/cells.h5ad").touch()
    (mnt / "shared/genomics/other.h5ad").touch()
    (home / "Shared/out").symlink_to(mnt / "shared/genomics")
    allowed = mounted().values()
    seen = resolve_file(home, "Shared/imaging/cells.h5ad", allowed)
    assert seen == mnt / "shared/imaging/cells.h5ad"
    with pytest.raises(AppError, match="leads out"):
        resolve_file(home, "Shared/out/other.h5ad", allowed)
    found = find_files(home, [".h5ad"], mounted())
    assert [each["path"] for each in found["files"]] == ["Shared/imaging/cells.h5ad"]
