"""Comparison and layer: whatever a person did to a tree comes back, and only that is saved."""

import contextlib
import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from petrihub_sidecars.checkpointer import pack as packing
from petrihub_sidecars.checkpointer.compare import NOT_READABLE, RESERVED_NAME
from petrihub_sidecars.checkpointer.tree import DEPTH_LIMIT, TooDeep, mount_points

from tests.sidecars.saving import Bench, entries, inventory, paths_in, write

AS_ROOT = os.geteuid() == 0

names = st.sampled_from(
    [
        b"a",
        b"b",
        b"c",
        b"lib",
        b"na me",
        b"tab\there",
        b"new\nline",
        b"back\\slash",
        b"\\t",
        "übung.ipynb".encode(),
        b"not-utf8-\xff\xfe",
        b"long-" + b"x" * 140,
        b"-rf",
        b"%s",
        b"wh.",
    ]
)
paths = st.lists(names, min_size=1, max_size=4).map(b"/".join)
contents = st.one_of(st.binary(max_size=40), st.integers(0, 3).map(lambda n: b"same" * n * 400))
operations = st.one_of(
    st.tuples(st.just("write"), paths, contents),
    st.tuples(st.just("rewrite"), paths, contents),
    st.tuples(st.just("mkdir"), paths, st.none()),
    st.tuples(st.just("symlink"), paths, paths),
    st.tuples(st.just("hardlink"), paths, paths),
    st.tuples(st.just("remove"), paths, st.none()),
    st.tuples(st.just("chmod"), paths, st.sampled_from([0o644, 0o600, 0o755, 0o4755, 0o2755])),
    st.tuples(st.just("chown"), paths, st.sampled_from([0, 1000])),
    st.tuples(st.just("xattr"), paths, st.binary(min_size=1, max_size=10)),
    st.tuples(st.just("fifo"), paths, st.none()),
)  # fmt: skip


def put(path: bytes, content: bytes) -> None:
    """A file, new or written anew; a pipe is left alone, since nobody reads it."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK), "wb") as file:
        file.truncate(0)
        file.write(content)


def rewrite(path: bytes, content: bytes) -> None:
    """Other content in a file that looks as before to everybody who does not read it."""
    about = os.stat(path)
    with open(path, "r+b") as file:
        file.write(content.ljust(about.st_size)[: about.st_size])
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


ACTS = {
    "write": lambda path, content, _: put(path, content),
    "rewrite": lambda path, content, _: rewrite(path, content),
    "mkdir": lambda path, *_: os.mkdir(path),
    "symlink": lambda path, target, _: os.symlink(target, path),
    "hardlink": lambda path, other, root: os.link(root + b"/" + other, path, follow_symlinks=False),
    "remove": lambda path, *_: shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path),
    "chmod": lambda path, mode, _: os.chmod(path, mode),
    "chown": lambda path, owner, _: AS_ROOT and os.chown(path, owner, owner, follow_symlinks=False),
    "xattr": lambda path, value, _: os.setxattr(path, "user.note", value),
    "fifo": lambda path, *_: os.mkfifo(path),
}
MAKES = ("write", "mkdir", "symlink", "hardlink", "fifo")


def perform(root: Path, operation: tuple) -> None:
    """One thing that a person may do; what cannot be done is not done."""
    what, where, how = operation
    path = os.path.join(os.fsencode(root), where)
    with contextlib.suppress(OSError):
        if what in MAKES:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        ACTS[what](path, how, os.fsencode(root))


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(st.lists(operations, max_size=25), st.lists(operations, max_size=25))
def test_what_a_person_did_comes_back(before, after):
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for operation in before:
            perform(bench.base, operation)
        bench.record()
        for operation in after:
            perform(bench.root, operation)
        changes = bench.compare()
        assert changes.findings == []
        packed = bench.pack(changes)
        assert inventory(bench.restored(packed)) == inventory(bench.root)
        # the same again, byte for byte
        assert bench.pack(bench.compare()).layer.digest == packed.layer.digest


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_nothing_done_is_nothing_saved(bench):
    write(bench.base / "opt/tool/run")
    bench.record()
    assert bench.compare().items == []
    assert paths_in(bench.pack(bench.compare())) == []


def test_only_what_changed_and_the_folders_around_it(bench):
    write(bench.base / "opt/tool/run")
    write(bench.base / "opt/tool/old")
    write(bench.base / "usr/lib/other")
    bench.record()
    write(bench.root / "opt/tool/run", "changed")
    (bench.root / "opt/tool/old").unlink()
    changes = bench.compare()
    assert paths_in(bench.pack(changes)) == ["opt", "opt/tool", "opt/tool/.wh.old", "opt/tool/run"]
    assert [item.kind for item in changes.items] == ["parent", "parent", "deleted", "changed"]


def test_a_folder_that_went_is_one_whiteout_and_one_that_was_replaced_holds_only_the_new(bench):
    for name in ("a", "b", "deep/c"):
        write(bench.base / "opt/gone" / name)
        write(bench.base / "opt/other" / name)
    bench.record()
    shutil.rmtree(bench.root / "opt/gone")
    shutil.rmtree(bench.root / "opt/other")
    write(bench.root / "opt/other/new")
    packed = bench.pack(bench.compare())
    assert "opt/.wh.gone" in paths_in(packed)
    assert not any("gone/" in path for path in paths_in(packed))
    assert inventory(bench.restored(packed)) == inventory(bench.root)


def test_what_belongs_to_the_moment_is_never_saved_nor_deleted(bench):
    for name in ("tmp/a", "run/b", "var/tmp/c", "var/cache/d", "dev/e", "proc/f", "sys/g"):
        write(bench.base / name, "of the image")
        write(bench.base / name.replace("/", "/x"), "of the image")
    bench.record()
    for name in ("tmp", "run", "var/tmp", "var/cache", "dev", "proc", "sys"):
        shutil.rmtree(bench.root / name)
        write(bench.root / name / "new")
    write(bench.root / ".dockerenv")
    write(bench.root / "opt/server.pid", "4242\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(bench.root / "opt/s"))
    assert {item.path for item in bench.compare().items} <= {b"/opt", b"/var"}


def test_mounts_are_never_saved_whatever_they_are_called(bench):
    """A53: neither the home nor what others have put before it."""
    write(bench.base / "home/researcher/.bashrc")
    write(bench.base / "etc/hosts", "of the image")
    bench.record()
    write(bench.root / "home/researcher/results.csv")
    (bench.root / "home/researcher/.bashrc").unlink()
    write(bench.root / "etc/hosts", "of the container")
    write(bench.root / "mnt/other person/secret.txt")
    info = (
        b"21 20 0:20 / / rw - overlay overlay rw\n"
        b"22 21 8:1 /v /home/researcher rw - ext4 /dev/a rw\n"
        b"23 21 8:1 /h /etc/hosts rw - ext4 /dev/a rw\n"
        b"24 21 0:50 / /mnt/other\\040person rw shared:7 - fuse x rw\n"
    )
    assert mount_points(info) == {b"/home/researcher", b"/etc/hosts", b"/mnt/other person"}
    found = {item.path for item in bench.compare(mount_points(info)).items}
    assert found == {b"/mnt"}


def test_a_file_that_only_looks_unchanged_is_found(bench):
    file = write(bench.base / "opt/data", "abcd")
    bench.record()
    kept = os.stat(bench.root / "opt/data")
    write(bench.root / "opt/data", "wxyz")
    os.utime(bench.root / "opt/data", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert [item.kind for item in bench.compare().items] == ["parent", "changed"]
    assert file.read_text() == "abcd"


def test_a_name_that_no_layer_can_hold_is_refused(bench):
    write(bench.base / "opt/victim")
    bench.record()
    write(bench.root / "opt/.wh.victim")
    write(bench.root / "opt/.wh..wh..opq")
    write(bench.root / "opt/.wh.folder/deep/inside")
    changes = bench.compare()
    assert {finding.pattern for finding in changes.findings} == {RESERVED_NAME}
    assert len(changes.findings) == 3
    assert not any(".wh." in path for path in paths_in(bench.pack(changes)))
    assert (bench.restored(bench.pack(changes)) / "opt/victim").exists()


def test_links_are_saved_as_links_and_lead_nowhere_else(bench, tmp_path):
    outside = write(tmp_path / "outside/secret", "not yours").parent
    bench.record()
    (bench.root / "opt").mkdir()
    (bench.root / "opt/link").symlink_to(outside)
    (bench.root / "opt/file").symlink_to(outside / "secret")
    layer = bench.pack(bench.compare()).layer
    found = list(entries(layer.path))
    assert [(e.name, e.issym()) for e in found[1:]] == [("opt/file", True), ("opt/link", True)]
    assert b"not yours" not in layer.path.read_bytes()


def test_rights_that_a_program_could_gain_are_dropped(bench):
    bench.record()
    program = write(bench.root / "opt/program")
    program.chmod(0o6755)
    (bench.root / "opt/team").mkdir()
    (bench.root / "opt/team").chmod(0o2775)
    if AS_ROOT:
        capability = bytes.fromhex("0100000200200000000000000000000000000000")
        os.setxattr(program, "security.capability", capability)
    os.setxattr(program, "user.note", b"kept\xff")
    found = {entry.name: entry for entry in entries(bench.pack(bench.compare()).layer.path)}
    assert found["opt/program"].mode == 0o755
    assert found["opt/team"].mode == 0o2775
    kept = found["opt/program"].pax_headers
    assert not any("security" in key for key in kept)
    assert kept["SCHILY.xattr.user.note"].encode(errors="surrogateescape") == b"kept\xff"


def test_a_sparse_file_costs_little_and_comes_back(bench):
    bench.record()
    with write(bench.root / "opt/sparse.img").open("r+b") as file:
        file.truncate(64 * 2**20)
        file.seek(50 * 2**20)
        file.write(b"in the middle")
    packed = bench.pack(bench.compare())
    assert packed.layer.size < 2**20
    assert inventory(bench.restored(packed)) == inventory(bench.root)


def test_more_than_can_be_saved_is_refused_before_it_is_read(bench):
    bench.record()
    with write(bench.root / "opt/huge").open("r+b") as file:
        file.truncate(packing.SIZE_LIMIT + 1)
    with pytest.raises(packing.TooBig):
        bench.pack(bench.compare())
    assert not list((bench.folder / "spool").iterdir())


def test_folders_in_folders_have_an_end(bench):
    bench.record()
    here = os.open(bench.root, os.O_RDONLY)
    for _ in range(DEPTH_LIMIT + 1):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    with pytest.raises(TooDeep):
        bench.compare()


@pytest.mark.skipif(not AS_ROOT, reason="only root can become somebody who may not read")
def test_what_cannot_be_read_is_named_unless_it_cannot_have_changed(bench):
    write(bench.base / "etc/shadow", "of root").chmod(0o600)
    write(bench.base / "root/inside").parent.chmod(0o700)
    write(bench.base / "opt/keep")
    bench.record()
    (bench.root / "opt").chmod(0o777)
    mine = write(bench.root / "opt/locked")
    closed = bench.root / "opt/closed"
    (closed / "deep").mkdir(parents=True)
    for path in (mine, closed):
        os.chown(path, 1000, 1000)
        path.chmod(0)
    # whatever the clock says, root's files look untouched
    (bench.folder / "spool").mkdir(mode=0o777)
    (bench.folder / "spool").chmod(0o777)
    told = as_somebody(lambda: bench.pack(bench.compare()), bench.folder)
    assert [(f.path, f.pattern) for f in told.findings] == [
        (b"/opt/closed", NOT_READABLE),
        (b"/opt/locked", NOT_READABLE),
    ]
    assert paths_in(told) == ["opt", "opt/closed"]


def as_somebody(work, folder: Path):
    """The result of `work` done with the rights of user 1000."""
    for parent in (folder, *folder.parents):
        if parent == Path("/"):
            break
        parent.chmod(parent.stat().st_mode | 0o055)
    os.setegid(1000)
    os.seteuid(1000)
    try:
        return work()
    finally:
        os.seteuid(0)
        os.setegid(0)
