"""What is to be mounted, as the hub side says it in the environment."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOUNTS_VARIABLE = "PETRIHUB_MOUNTS"
KEY_VARIABLE = "PETRIHUB_STORAGE_KEY"
S3_VARIABLE = "PETRIHUB_STORAGE_S3"
# S3 wants it in each question, and curl does not add it by itself: the SHA-256 of no body at all
_NO_BODY = "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

PLACES = Path("/mnt/places")  # what is mounted below here, the workspace sees
PRIVATE = Path("/dev/shm")  # noqa: S108 - in the sidecar's own memory, never on a disk


def signed_for(region: str) -> tuple[str, ...]:
    """Arguments of curl for a question to S3 without a body, signed for this region."""
    return ("--aws-sigv4", f"aws:amz:{region}:s3", "--header", _NO_BODY)


@dataclass(frozen=True, kw_only=True)
class Sftp:
    """A folder of a file server. `host_key` as in known_hosts, without the name."""

    host: str
    port: int
    account: str
    host_key: str


@dataclass(frozen=True, kw_only=True)
class S3:
    """Everything below a prefix of a bucket."""

    endpoint: str
    region: str
    bucket: str
    prefix: str


@dataclass(frozen=True, kw_only=True)
class Order:
    """One mount: `name` is the folder below `PLACES`, `path` where the workspace sees it."""

    name: str
    path: str
    title: str
    read_only: bool
    remote: Sftp | S3

    @property
    def place(self) -> Path:
        """Where it is mounted."""
        return PLACES / self.name

    @property
    def private(self) -> Path:
        """A folder for its passing files."""
        return PRIVATE / self.name


def _order(data: dict[str, Any]) -> Order:
    remote = dict(data["remote"])
    kind = {"sftp": Sftp, "s3": S3}[remote.pop("kind")]
    return Order(**{**data, "remote": kind(**remote)})


def take_orders() -> tuple[Order, ...]:
    """The mounts that are wanted; what they need to get in is put into memory and forgotten."""
    orders = tuple(_order(each) for each in json.loads(os.environ[MOUNTS_VARIABLE]))
    key = os.environ.pop(KEY_VARIABLE, "")
    credentials = os.environ.pop(S3_VARIABLE, "")
    for order in orders:
        order.private.mkdir(mode=0o700, exist_ok=True)
        if isinstance(order.remote, Sftp):
            _write(order.private / "key", key)
            known = f"[{order.remote.host}]:{order.remote.port} {order.remote.host_key}\n"
            _write(order.private / "known_hosts", known)
        else:
            _write(order.private / "credentials", credentials)
            _write(order.private / "curl", f'user = "{credentials}"\n')
    return orders


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
