"""Carries out one order: compares, packs, pushes, reads back; a result in the protocol's words."""

import errno
import hashlib
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from petrihub_sidecars.checkpointer.compare import (
    ADDED,
    CHANGED,
    DELETED,
    Changes,
    Comparison,
    Finding,
)
from petrihub_sidecars.checkpointer.findings import Detector, injected_values
from petrihub_sidecars.checkpointer.image import manifest_of, with_layer
from petrihub_sidecars.checkpointer.manifest import Manifest, NotAManifest
from petrihub_sidecars.checkpointer.pack import SIZE_LIMIT, Packed, Packer, TooBig, size_of
from petrihub_sidecars.checkpointer.packages import changed_packages
from petrihub_sidecars.checkpointer.registry import Blob, RegistryFailed, Repository
from petrihub_sidecars.checkpointer.service import Order, Withdrawn
from petrihub_sidecars.checkpointer.tree import (
    DEPTH_LIMIT,
    MANIFEST_PATH,
    Opener,
    TooDeep,
    Walk,
    mount_points,
)

Json = dict[str, Any]

PLACES = frozenset({b"/mnt/public", b"/mnt/shared"})  # where people's files are mounted
_LISTED = 1000  # changes and findings of a result
_TELL_EVERY = 1.0  # seconds

log = logging.getLogger("checkpointer")


class Desk(Protocol):
    """Where an order's progress is told and rights are asked for."""

    def progress(self, order: str, told: Json) -> None:
        """Say how far it is; may raise `Withdrawn`."""

    def token(self, repository: str) -> str:
        """A token to push there."""


@dataclass(frozen=True)
class Subject:
    """The container that is saved: its process 1 as /proc shows it, or a folder like it."""

    process: Path = Path("/proc/1")

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Its root folder."""
        fd = os.open(self.process / "root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)

    def mounts(self) -> frozenset[bytes]:
        """Where something is mounted in it, or may be: the engine makes these folders for it."""
        return PLACES | mount_points((self.process / "mountinfo").read_bytes())

    def secrets(self) -> list[str]:
        """The secret values that its programs were started with."""
        return injected_values((self.process / "environ").read_bytes())


class Cannot(Exception):
    """The order cannot be carried out; the message is for a person."""


class Job:
    """One order. `waits` are those of the registry's client."""

    def __init__(self, order: Order, subject: Subject, desk: Desk) -> None:
        self._order = order
        self._subject = subject
        self._desk = desk
        self._told = 0.0

    def run(self) -> Json:
        """The order's result; raises `Withdrawn`."""
        try:
            with self._subject.opened() as root, tempfile.TemporaryDirectory() as spool:
                return self._run(root, Path(spool))
        except (Cannot, RegistryFailed, NotAManifest) as exc:
            return failed(str(exc))
        except TooDeep as exc:
            path = shown(exc.args[0])[-200:]
            return failed(f"More than {DEPTH_LIMIT} folders lie in each other: …{path}")
        except TooBig as exc:
            return failed(
                f"The changes are {exc.args[0] / 2**30:.1f} GiB; "
                f"at most {SIZE_LIMIT / 2**30:.0f} GiB can be saved."
            )
        except OSError as exc:
            log.exception("an order failed")
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                return failed("The machine's disk is full.")
            return failed(f"The workspace's files cannot be read: {exc.strerror}.")

    def _run(self, root: int, spool: Path) -> Json:
        manifest, since = self._recorded(root)
        # the list came with the image's last layer: whatever was touched later is newer
        comparison = Comparison(Walk(root, self._subject.mounts()), manifest, since)
        changes = comparison.run(lambda seen: self._tell("comparing", files=seen))
        detector = Detector(self._subject.secrets())
        opener = Opener(root)
        try:
            packages = {"packages": changed_packages(opener, changes, manifest)}
            packer = Packer(opener, detector, spool, self._packing(changes))
            if self._order.kind == "measure":
                findings = packer.look(changes)
                return outcome("confirm" if findings else "done", changes, findings) | packages
            self._require_space(spool, size_of(changes))
            packed = packer.pack(changes)
        finally:
            opener.close()
        open_ones = [f for f in packed.findings if shown(f.path) not in self._order.accepted]
        if open_ones:
            return outcome("confirm", changes, open_ones) | packages
        return outcome("done", changes, packed.findings) | packages | self._push(packed)

    @staticmethod
    def _recorded(root: int) -> tuple[Manifest, int]:
        """The manifest of the image, and since when it is there."""
        opener = Opener(root)
        try:
            fd = opener.open(MANIFEST_PATH)
        except OSError as exc:
            raise Cannot(
                "The image of this workspace has no list of its files, "
                "so nobody can tell what was changed."
            ) from exc
        finally:
            opener.close()
        try:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode):
                raise Cannot("The list of the image's files was replaced.")
            return Manifest.read(fd), about.st_ctime_ns
        finally:
            os.close(fd)

    def _packing(self, changes: Changes) -> Callable[[int, int], None]:
        total = size_of(changes)

        def tell(files: int, size: int) -> None:
            self._tell("packing", files=files, size=size, total=total)

        return tell

    def _push(self, packed: Packed) -> Json:
        order, layer = self._order, packed.layer
        config = with_layer(order.config, layer, order.history)
        config_blob = Blob(config, _digest(config), len(config))
        layer_blob = Blob(layer.path, layer.digest, layer.size)
        repository = Repository(
            order.registry, order.repository, lambda: self._desk.token(order.repository)
        )
        try:
            self._tell("pushing", total=layer.size, now=True)
            repository.push(layer_blob, self._counting("pushing"))
            layer.path.unlink()
            repository.push(config_blob)
            self._tell("verifying", total=layer.size, now=True)
            repository.verify(layer_blob, self._counting("verifying"))
            repository.verify(config_blob)
            manifest = manifest_of(order.manifest, config_blob.digest, len(config), layer)
            digest = repository.put_manifest(manifest)
        finally:
            repository.close()
        return {
            "manifest_digest": digest,
            "layer": {"digest": layer.digest, "diff_id": layer.diff_id, "size": layer.size},
            "unsettled": [shown(path) for path in packed.unsettled[:_LISTED]],
        }

    def _counting(self, stage: str) -> Callable[[int, int], None]:
        return lambda done, total: self._tell(stage, size=done, total=total)

    def _tell(
        self,
        stage: str,
        *,
        files: int = 0,
        size: int = 0,
        total: int | None = None,
        now: bool = False,
    ) -> None:
        if not now and time.monotonic() - self._told < _TELL_EVERY:
            return
        self._desk.progress(
            self._order.id,
            {"stage": stage, "files": files, "bytes": size, "total_bytes": total},
        )
        self._told = time.monotonic()

    @staticmethod
    def _require_space(spool: Path, size: int) -> None:
        """Not to fill the machine's disk with a layer that will not fit."""
        if shutil.disk_usage(spool).free < size + size // 10:
            raise Cannot("The machine's disk has no space to prepare the changes.")


def outcome(state: str, changes: Changes, findings: list[Finding]) -> Json:
    """A result without digests."""
    told = [item for item in changes.items if item.kind in (ADDED, CHANGED, DELETED)]
    summary: Json = {
        kind: sum(item.kind == kind for item in told) for kind in (ADDED, CHANGED, DELETED)
    }
    return {
        "state": state,
        "summary": {**summary, "bytes": size_of(changes)},
        "changes": [
            {
                "path": shown(item.path),
                "kind": item.kind,
                "size": item.about.st_size
                if item.about and stat.S_ISREG(item.about.st_mode)
                else 0,
            }
            for item in told[:_LISTED]
        ],
        "findings": [
            {"path": shown(each.path), "pattern": each.pattern} for each in findings[:_LISTED]
        ],
        "reason": "",
    }


def failed(reason: str) -> Json:
    """The result of an order that could not be carried out."""
    return {"state": "failed", "reason": reason}


def shown(path: bytes) -> str:
    """The path as a person and JSON can have it; what is no UTF-8 is escaped."""
    return path.decode(errors="backslashreplace")


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


__all__ = ["Job", "Subject", "Withdrawn", "failed"]
