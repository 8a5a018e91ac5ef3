"""What changes, grows, vanishes or becomes a link while it is saved; and a disk that is full."""

import os
import shutil
import tarfile
import threading

import pytest

from petrihub_sidecars.checkpointer import pack as packing
from petrihub_sidecars.checkpointer.tree import Walk

from tests.sidecars.saving import Bench, entries, paths_in, write


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_a_folder_swapped_for_a_link_while_it_is_walked_leads_nowhere(bench, tmp_path):
    outside = write(tmp_path / "outside/file", "not yours").parent
    bench.record()
    write(bench.root / "opt/a/file", "mine")
    changes = bench.compare()
    shutil.rmtree(bench.root / "opt/a")
    (bench.root / "opt/a").symlink_to(outside)
    packed = bench.pack(changes)
    with tarfile.open(packed.layer.path) as tar:
        assert tar.getnames() == ["opt", "opt/a"]
    walk = iter(Walk(os.open(bench.root, os.O_RDONLY)))
    (bench.root / "opt/a").unlink()
    (bench.root / "opt/a").mkdir()
    assert next(walk).path == b"/"
    assert next(walk).path == b"/opt"  # has listed the folder, which now becomes a link
    (bench.root / "opt/a").rmdir()
    (bench.root / "opt/a").symlink_to(outside)
    assert [folder.path for folder in walk if folder.path.startswith(b"/opt")] == []


def test_a_file_that_grows_and_shrinks_meanwhile_makes_no_torn_tar(bench, monkeypatch):
    """A writer that never rests; small files and those that go through the spool."""
    monkeypatch.setattr(packing, "_AT_ONCE", 2**16)
    bench.record()
    files = [write(bench.root / f"opt/log{number}", b"x" * 2**17) for number in range(8)]
    small = write(bench.root / "opt/small", b"y" * 100)
    enough = threading.Event()

    def disturb() -> None:
        number = 0
        while not enough.is_set():
            number += 1
            for file in (*files, small):
                with file.open("r+b") as opened:
                    opened.truncate((number * 7919) % 2**18)

    changes = bench.compare()
    writer = threading.Thread(target=disturb)
    writer.start()
    try:
        for _ in range(5):
            packed = bench.pack(changes)
            read = list(entries(packed.layer.path))
            assert [entry.name for entry in read][1:] == sorted(
                ["opt/small", *(f"opt/{file.name}" for file in files)]
            )
    finally:
        enough.set()
        writer.join()
    assert set(packed.unsettled) <= {b"/opt/small", *(b"/opt/log%d" % n for n in range(8))}


@pytest.mark.parametrize(("writes", "restless"), [(1, False), (99, True)])
def test_a_file_that_changes_while_it_is_read_is_read_again(bench, monkeypatch, writes, restless):
    """Until it keeps still; one that never does is saved as last read, and named."""
    bench.record()
    file = write(bench.root / "opt/log", "0")
    left = iter(range(1, writes + 1))
    read = packing._read

    def disturbed(fd: int, size: int) -> bytes:
        data = read(fd, size)
        if (number := next(left, None)) is not None:
            file.write_text(str(number) * (number + 1))
        return data

    changes = bench.compare()
    monkeypatch.setattr(packing, "_read", disturbed)
    packed = bench.pack(changes)
    assert packed.unsettled == ([b"/opt/log"] if restless else [])
    assert (bench.restored(packed) / "opt/log").read_text() == ("222" if restless else "11")


def test_what_vanishes_before_it_is_read_is_a_deletion_or_was_never(bench):
    write(bench.base / "opt/old", "old")
    write(bench.base / "opt/folder/inside", "old")
    bench.record()
    for name in ("opt/old", "opt/folder/inside", "opt/new"):
        write(bench.root / name, "changed")
    changes = bench.compare()
    shutil.rmtree(bench.root / "opt/folder")
    (bench.root / "opt/old").unlink()
    (bench.root / "opt/new").unlink()
    packed = bench.pack(changes)
    assert "opt/.wh.old" in paths_in(packed)
    assert not {"opt/old", "opt/new", "opt/.wh.new"} & set(paths_in(packed))


def test_a_disk_that_is_full_ends_the_packing_and_leaves_nothing(bench, tmp_path):
    bench.record()
    write(bench.root / "opt/data", os.urandom(8 * 2**20))
    changes = bench.compare()
    (bench.folder / "spool").mkdir()
    (bench.folder / "spool/layer.tar.gz").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        bench.pack(changes)
    assert not (bench.folder / "spool/layer.tar.gz").is_symlink()
