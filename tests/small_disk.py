"""A disk of its own that is small, and can be filled to its last byte."""

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import skip

_FILLER = "filler"
_PIECE = 2**20


@dataclass(frozen=True)
class SmallDisk:
    """Mounted at `folder`."""

    folder: Path

    def fill(self) -> None:
        """Until nothing more can be written."""
        with (self.folder / _FILLER).open("ab", buffering=0) as file:
            for piece in (_PIECE, 4096, 1):
                try:
                    while file.write(b"x" * piece):
                        pass
                except OSError as exc:
                    assert exc.errno == errno.ENOSPC  # noqa: PT017

    def fill_with_files(self) -> None:
        """Until there can be no further file."""
        try:
            for number in range(10_000):
                (self.folder / f"{number}.{_FILLER}").touch()
        except OSError as exc:
            assert exc.errno == errno.ENOSPC  # noqa: PT017

    def free(self) -> None:
        for each in self.folder.glob(f"*{_FILLER}"):
            each.unlink()


@contextmanager
def small_disk(folder: Path, mib: int, *, files: int = 0) -> Iterator[SmallDisk]:
    """One of so many MiB at this folder, which is made; for so many files, if that is said."""
    folder.mkdir(parents=True)
    options = f"size={mib}m,mode=700" + (f",nr_inodes={files}" if files else "")
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        skip("a small disk cannot be mounted here (it needs root)")
    try:
        yield SmallDisk(folder)
    finally:
        with suppress(subprocess.CalledProcessError):
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
