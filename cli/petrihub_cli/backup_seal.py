"""What makes a backup ours: a list of all its files with their digests, signed with our key.

The key that signs never goes into a backup, so whoever can write to the place where backups are
kept cannot make one. What is taken from a backup is copied file by file, as the list names them:
no other file, no link, no device, not one byte more.
"""

import hashlib
import json
import os
import re
import secrets as random
import shutil
import stat
from pathlib import Path
from typing import Annotated, Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from petrihub_cli.state import CONFIG_NAME, write_privately
from petrihub_core.errors import Refused, Unavailable

MANIFEST = "backup.json"
SIGNATURE = "backup.sig"
KEYS = "secrets"
IDENTITY = "deployment-id"  # without it the homes of people are not found
SIGNING_KEY = "backup_key"

_FORMAT: Final = 1
_CONTEXT = b"petrihub-backup\n"  # the key signs nothing else
_LONGEST_LIST = 1024 * 1024
_PIECE = 1024 * 1024
_MEMBER = re.compile(
    rf"(?:petrihub|jupyterhub)\.(?:sqlite|dump)|{re.escape(CONFIG_NAME)}|{IDENTITY}"
    rf"|{KEYS}/[A-Za-z0-9][A-Za-z0-9._-]{{0,99}}"
)
Database = Literal["petrihub", "jupyterhub"]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Member(_Row):
    """One file of a backup."""

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(_Row):
    """What a backup says of itself. `revisions` are of the tables, `rows` are counted by table."""

    format: Literal[1] = _FORMAT
    made_at: str
    version: str
    revisions: dict[Database, str]
    rows: dict[Database, dict[str, int]]
    files: dict[Annotated[str, Field(max_length=120)], Member]


def public_key(secrets: Path) -> str:
    """The key by which others recognise our backups, as text; made on first use."""
    return _private_key(secrets).public_key().public_bytes_raw().hex()


def _private_key(secrets: Path) -> Ed25519PrivateKey:
    path = secrets / SIGNING_KEY
    if not path.exists():
        secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_privately(path, random.token_hex(32))
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text().strip()))


def read_key(text: str) -> Ed25519PublicKey:
    """The key that `petrihub backup` printed, or that a file of that name holds."""
    try:
        written = Path(text).read_text() if Path(text).is_file() else text
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(written.strip()))
    except (OSError, ValueError) as exc:
        raise Refused(
            "This is not the key of a backup.",
            hint="It has 64 digits from 0 to f. `petrihub backup` prints it: name it, or a file.",
        ) from exc


def members(folder: Path) -> dict[str, Member]:
    """All files below `folder` as its list will name them."""
    return {
        str(path.relative_to(folder)): Member(size=path.stat().st_size, sha256=_digest(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(folder: Path, about: Manifest, secrets: Path) -> None:
    """Write the list and its signature into the backup."""
    text = about.model_dump_json(indent=2).encode() + b"\n"
    (folder / MANIFEST).write_bytes(text)
    signature = _private_key(secrets).sign(_CONTEXT + text)
    (folder / SIGNATURE).write_text(signature.hex() + "\n")


def take(backup: Path, into: Path, key: Ed25519PublicKey | None) -> Manifest:
    """Copy a backup's files into the empty folder `into`; its list. Without a key, unsigned.

    Raises `Refused` for what is no backup, not signed with this key, or not what was signed, and
    `Unavailable` if the disk has no room.
    """
    text = _read(backup, MANIFEST, _LONGEST_LIST)
    if text is None:
        raise Refused(
            f"{backup} is not a backup of PetriHub.",
            hint="Name a folder that `petrihub backup` has made.",
        )
    if key is not None:
        _require_signed(backup, text, key)
    about = _parsed(backup, text)
    _require_listed(backup, about)
    needed = sum(member.size for member in about.files.values())
    if needed > shutil.disk_usage(into).free:
        raise Unavailable(
            f"The backup has {needed // 2**20} MiB, more than is free at {into.parent}.",
            hint="Nothing was changed. Make room, or choose another folder with --state.",
        )
    for name, member in about.files.items():
        _copy(backup, into, name, member)
    return about


def _read(backup: Path, name: str, most: int) -> bytes | None:
    """The content of a small file; None if there is none, or it is too big."""
    try:
        with open(_opened(backup / name), "rb") as file:
            found = file.read(most + 1)
    except OSError:
        return None
    return found if len(found) <= most else None


def _opened(path: Path) -> int:
    """A plain file opened for reading; `OSError` for a link, a pipe or anything else."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a plain file")
    return descriptor


def _require_signed(backup: Path, text: bytes, key: Ed25519PublicKey) -> None:
    try:
        signature = bytes.fromhex((_read(backup, SIGNATURE, 200) or b"").decode().strip())
        key.verify(signature, _CONTEXT + text)
    except (ValueError, InvalidSignature) as exc:
        raise Refused(
            f"{backup} was not signed with this key: it was altered, or another PetriHub made it.",
            hint="Nothing was changed. Take another backup, or name the key of its PetriHub.",
        ) from exc


def _parsed(backup: Path, text: bytes) -> Manifest:
    try:
        found = json.loads(text)
        if isinstance(found, dict) and found.get("format", 0) not in (0, _FORMAT):
            raise Refused(
                f"{backup} was made by a newer PetriHub ({str(found.get('version'))[:32]}).",
                hint="Nothing was changed. Put it back with that version or a later one.",
            )
        return Manifest.model_validate(found)
    except (ValueError, RecursionError, ValidationError) as exc:
        raise Refused(
            f"{backup} is not a backup of PetriHub that this version can read.",
            hint="Nothing was changed. Name a folder that `petrihub backup` has made.",
        ) from exc


def _require_listed(backup: Path, about: Manifest) -> None:
    """Raise `Refused` unless the folder holds plain files only, and just those of the list."""
    wrong = [name for name in about.files if not _MEMBER.fullmatch(name)]
    known = {*about.files, MANIFEST, SIGNATURE}
    for place in (backup, backup / KEYS):
        try:
            entries = list(os.scandir(place))
        except OSError:
            continue  # what is missing is found when it is copied
        for entry in entries:
            name = str(Path(entry.path).relative_to(backup))
            if name == KEYS and entry.is_dir(follow_symlinks=False):
                continue
            if name not in known or not entry.is_file(follow_symlinks=False):
                wrong.append(name)
    if wrong:
        raise Refused(
            f"{backup} holds what does not belong into a backup: {sorted(wrong)[0][:80]!r}.",
            hint="Nothing was changed. Take another backup.",
        )


def _copy(backup: Path, into: Path, name: str, member: Member) -> None:
    target = into / name
    target.parent.mkdir(mode=0o700, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    try:
        fresh = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(fresh, "wb") as out, open(_opened(backup / name), "rb") as source:
            while size <= member.size and (piece := source.read(_PIECE)):
                size += len(piece)
                digest.update(piece)
                out.write(piece)
    except OSError as exc:
        raise Refused(
            f"{name} of this backup cannot be read: {exc.strerror or exc}.",
            hint="Nothing was changed. Take another backup.",
        ) from exc
    if (size, digest.hexdigest()) != (member.size, member.sha256):
        raise Refused(
            f"{name} of this backup is not the file that was listed: it was altered or cut off.",
            hint="Nothing was changed. Take another backup.",
        )
