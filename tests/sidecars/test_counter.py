"""A38: what a person makes of their folder leads the counter neither out of it nor to a halt."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from petrihub_sidecars.storage import count as counter
from petrihub_sidecars.storage import count_objects
from petrihub_sidecars.storage.count import Count, count


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def write(path: Path, size: int) -> int:
    """Make a file; the bytes that it takes on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path.stat().st_blocks * 512


def folders_below(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_dir())


def test_files_are_counted_with_the_room_that_they_take(home: Path) -> None:
    size = write(home / "a.csv", 10_000) + write(home / "deep/er/b.csv", 1)
    with (home / "sparse").open("wb") as sparse:
        sparse.truncate(10 * 2**30)
    assert count(str(home)) == Count(size + folders_below(home), 3)


def test_a_link_counts_as_a_link_and_leads_nowhere(home: Path, tmp_path: Path) -> None:
    """A38: to a folder outside, to itself, to nothing; also in the place of a folder."""
    write(tmp_path / "secret/of/another", 5_000_000)
    (home / "out").symlink_to(tmp_path / "secret")
    (home / "root").symlink_to("/")
    (home / "self").symlink_to("self")
    (home / "up").symlink_to("..")
    found = count(str(home))
    assert found.files == 4
    assert found.size_bytes < 100_000
    with pytest.raises(OSError, match="Not a directory"):
        count(str(home / "out"))


def test_a_folder_that_becomes_a_link_while_it_is_counted(home: Path, tmp_path: Path) -> None:
    """A38: between the look at its parent and the look into it."""
    write(tmp_path / "secret/of/another", 5_000_000)
    inner = home / "inner"
    inner.mkdir()
    fd = os.open(home, os.O_RDONLY)
    made = counter._Counter(os.fstat(fd).st_dev, float("inf"), lambda: 0.0)
    assert made.read(fd) == ["inner"]
    inner.rmdir()
    inner.symlink_to(tmp_path / "secret")
    assert made.enter("inner", fd) is None
    assert made.count.partial
    os.close(fd)


def test_a_file_with_several_names_counts_once(home: Path) -> None:
    size = write(home / "a", 10_000)
    for number in range(50):
        os.link(home / "a", home / f"b{number}")
    assert count(str(home)) == Count(size, 1)


def test_what_is_no_file_is_never_opened(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A38: a pipe would hold whoever opens it."""
    os.mkfifo(home / "pipe")
    with socket.socket(socket.AF_UNIX) as door:
        monkeypatch.chdir(home)  # names of sockets are short
        door.bind("door")
    assert count(str(home)).files == 2


def test_deeper_than_any_path_is_said(home: Path) -> None:
    """A38: folders in folders, beyond what the kernel takes as one path."""
    folder = os.open(home, os.O_RDONLY)
    for _ in range(counter.DEEPEST + 500):
        os.mkdir("d" * 200, dir_fd=folder)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    write(home / "a", 1)
    found = count(str(home))
    assert found.partial
    assert found.files == 1
    subprocess.run(["rm", "-rf", home], check=True)


def test_a_closed_folder_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A38: what its owner closes to everybody is not taken for nothing."""
    write(home / "open", 1)
    write(home / "closed/file", 1)
    (home / "closed").chmod(0)
    home.chmod(0o755)
    monkeypatch.chdir(home)  # who is not root may not come through the folders above
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        found = count(".")
    finally:
        if root:
            os.seteuid(0)
        (home / "closed").chmod(0o755)
    assert found.partial
    assert found.files == 1


def test_there_is_an_end_to_counting(home: Path) -> None:
    """A38: a tree that is too large for the time that there is."""
    for number in range(100):
        write(home / f"f{number}", 1)
    ticks = iter(range(1_000_000))
    found = count(str(home), seconds=20, clock=lambda: float(next(ticks)))
    assert found.partial
    assert 0 < found.files < 100


def test_it_runs_by_itself_and_answers_in_one_line(home: Path) -> None:
    size = write(home / "a", 10_000)
    said = subprocess.run(
        [sys.executable, "-I", counter.__file__, home], check=True, capture_output=True, text=True
    ).stdout
    assert json.loads(said) == {"size_bytes": size, "files": 1, "partial": False}


def page(*objects: tuple[str, int], after: str = "") -> bytes:
    """A page of a listing as object stores answer it."""
    told = "".join(f"<Contents><Key>{k}</Key><Size>{s}</Size></Contents>" for k, s in objects)
    more = f"<IsTruncated>{'true' if after else 'false'}</IsTruncated>"
    more += f"<NextContinuationToken>{after}</NextContinuationToken>" if after else ""
    name = '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    return f"{name}{more}{told}</ListBucketResult>".encode()


def test_a_bucket_is_counted_page_by_page_and_not_for_ever() -> None:
    pages = {"": page(("home/p1/", 0), ("home/p1/a", 5), after="x"), "x": page(("home/p1/b", 7))}
    assert count_objects.count(pages.__getitem__) == Count(12, 2)
    ticks = iter(range(100))
    assert count_objects.count(
        lambda _: page(("home/p1/a", 5), after="x"), 2, lambda: float(next(ticks))
    ) == Count(15, 3, partial=True)
