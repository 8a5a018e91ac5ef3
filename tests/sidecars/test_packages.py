"""What differs in packages: read from the files that pip, R, conda and dpkg write themselves."""

import csv
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from petrihub_sidecars.checkpointer.manifest import Manifest
from petrihub_sidecars.checkpointer.packages import changed_packages

from tests.sidecars.saving import MANIFEST, Bench, opener

SITE = "usr/local/lib/python3.11/dist-packages"
STATUS = """Package: {name}
Status: install ok installed
Version: {version}
Description: a thing
 Version: 9.9 in the text of another line

"""


def put(root: Path, path: str, text: str = "x\n") -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def wheel(folder: Path, name: str, version: str) -> Path:
    """A wheel that pip takes."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nText\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for each, text in files.items():
            archive.writestr(each, text)
        lines = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
        archive.writestr(f"{info}/RECORD", lines)
    assert list(csv.reader(lines.splitlines()))
    return path


def pip_install(path: Path, target: Path) -> None:
    command = [sys.executable, "-m", "uv", "pip", "install", "--target", str(target), "--no-deps"]
    subprocess.run([*command, "--offline", str(path)], check=True, capture_output=True)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    base = made.base
    for name, version in (("numpy", "1.26.4"), ("old_one", "2.0"), ("gone", "0.1")):
        put(
            base, f"{SITE}/{name}-{version}.dist-info/METADATA", f"Name: {name}\nVersion: {version}"
        )
    put(base, "usr/lib/R/library/Matrix/DESCRIPTION", "Package: Matrix\nVersion: 1.5-3\n")
    put(base, "usr/lib/R/library/Matrix/Meta/package.rds")
    put(base, "usr/local/lib/R/site-library/cpp11/DESCRIPTION", "Package: cpp11\nVersion: 0.4\n")
    put(base, "usr/local/lib/R/site-library/cpp11/Meta/package.rds")
    put(base, "opt/env/conda-meta/samtools-1.17-h00cdaf9_0.json", "{}")
    put(base, "opt/env/conda-meta/r-base-4.2.3-h1_0.json", "{}")
    put(base, "var/lib/dpkg/status", STATUS.format(name="bash", version="5.2"))
    put(base, "var/lib/dpkg/info/bash.list")
    put(base, "usr/share/petrihub/x")
    return made


def packages(bench: Bench) -> list[tuple[str, str, str | None, str | None]]:
    changes = bench.compare()
    with bench.subject.opened() as fd, opener(fd) as opened:
        with (bench.root / MANIFEST).open("rb") as file:
            manifest = Manifest.read(file.fileno())
        found = changed_packages(opened, changes, manifest)
    return [(each["kind"], each["name"], each["before"], each["after"]) for each in found]


def test_nothing_differs_in_what_was_only_started(bench: Bench) -> None:
    bench.record()
    put(bench.root, "opt/notes.txt")
    assert packages(bench) == []


def test_what_pip_really_writes_is_understood(bench: Bench, tmp_path: Path) -> None:
    bench.record()
    pip_install(wheel(tmp_path, "brandnew", "1.2.3"), bench.root / SITE)
    assert packages(bench) == [("python", "brandnew", None, "1.2.3")]


def test_added_replaced_and_removed_packages_of_each_kind(bench: Bench) -> None:
    bench.record()
    root = bench.root
    put(root, f"{SITE}/numpy-2.1.0.dist-info/METADATA", "Name: numpy\nVersion: 2.1.0\n\nName: no\n")
    os.system(f"rm -r {root}/{SITE}/numpy-1.26.4.dist-info {root}/{SITE}/gone-0.1.dist-info")
    # found before the image's own, in another place
    home = "opt/mine/lib/python3.11/site-packages"
    put(root, f"{home}/Old.One-3.0.dist-info/METADATA", "Name: Old.One\nVersion: 3.0\n")
    put(
        root,
        "usr/local/lib/R/site-library/Matrix/DESCRIPTION",
        "Package: Matrix\nVersion: 1.7\nBuilt: R 4.2.2\n",
    )
    put(
        root,
        "usr/local/lib/R/site-library/DESeq2/DESCRIPTION",
        "Package: DESeq2\nVersion: 1.42\nBuilt: R 4.2.2\n",
    )
    os.system(f"rm -r {root}/usr/local/lib/R/site-library/cpp11")
    put(root, "opt/env/conda-meta/samtools-1.20-h50ea8bc_1.json", "{}")
    os.system(f"rm {root}/opt/env/conda-meta/samtools-1.17* {root}/opt/env/conda-meta/r-base*")
    before = (root / "var/lib/dpkg/status").read_text()
    put(root, "var/lib/dpkg/status-old", before)
    new = STATUS.format(name="bash", version="5.3") + STATUS.format(name="jq", version="1.6")
    put(root, "var/lib/dpkg/status", new)
    assert packages(bench) == [
        ("conda", "r-base", "4.2.3", None),
        ("conda", "samtools", "1.17", "1.20"),
        ("debian", "bash", "5.2", "5.3"),
        ("debian", "jq", None, "1.6"),
        ("python", "gone", "0.1", None),
        ("python", "numpy", "1.26.4", "2.1.0"),
        ("python", "Old.One", "2.0", "3.0"),
        ("r", "cpp11", "", None),  # nobody wrote down which version it was
        ("r", "DESeq2", None, "1.42"),
        ("r", "Matrix", "1.5-3", "1.7"),
    ]


def test_a_source_folder_or_a_broken_record_is_no_package(bench: Bench) -> None:
    bench.record()
    put(bench.root, "opt/src/mypkg/DESCRIPTION", "Package: mypkg\nVersion: 0.1\n")
    put(bench.root, f"{SITE}/x-1.dist-info/METADATA", "no fields at all")
    put(bench.root, f"{SITE}/y-1.dist-info/METADATA", "")
    os.symlink("/etc/passwd", bench.root / SITE / "z-1.dist-info")
    (bench.root / SITE / "odd-1.dist-info").mkdir()
    (bench.root / SITE / "odd-1.dist-info/METADATA").write_bytes(b"Name: o\xff\nVersion: \xfe1\n")
    assert packages(bench) == [
        ("python", "o\N{REPLACEMENT CHARACTER}", None, "\N{REPLACEMENT CHARACTER}1")
    ]
