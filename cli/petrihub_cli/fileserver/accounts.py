"""Accounts and folders: each person and group has a folder, and a user of the system that owns it.

The folders are the record: who owns `files` in one is its user. So nothing has to be kept in step,
and a copy of the disk serves as it is.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from petrihub_core.storage_keys import (
    ACCOUNT,
    GROUP_ACCOUNT,
    HOME_ACCOUNT,
    PUBLIC_READER,
    PUBLIC_WRITER,
)

FILES = "files"
# beyond what Debian, systemd and containers give out, within what every file system can store
_FIRST_UID = 1_900_000_000
_READER_UID, _KEYS_UID = _FIRST_UID - 1, _FIRST_UID - 2
KEYS_ACCOUNT = "petrihub-keys"
_FOLDERS = {HOME_ACCOUNT: "homes", GROUP_ACCOUNT: "groups"}


@dataclass(frozen=True)
class Account:
    """One login name, its user id, and the folder that it is confined to."""

    name: str
    uid: int
    folder: Path


class Accounts:
    """The accounts below `data`, which is to be seen by sshd at `seen`."""

    def __init__(self, data: Path, seen: Path) -> None:
        self._data = data
        self._seen = seen
        for name in ("homes", "groups"):
            _own(data / name, 0, 0o755)
        self._known = {account.name: account for account in self._found()}
        self._next = max([_FIRST_UID - 1, *(a.uid for a in self._known.values())]) + 1
        self.ensure(PUBLIC_WRITER)

    def ensure(self, name: str) -> bool:
        """Make the account and its folder, unless they are there; whether there is a new one."""
        if name in self._known or name == PUBLIC_READER or not ACCOUNT.fullmatch(name):
            return False
        folder = self._folder(name)
        _own(folder, 0, 0o755)
        # what is public, anybody may read; who may write is its owner
        _own(folder / FILES, self._next, 0o755 if name == PUBLIC_WRITER else 0o700)
        self._known[name] = Account(name, self._next, folder)
        self._next += 1
        return True

    def all(self) -> tuple[Account, ...]:
        """Every account that owns files."""
        return tuple(self._known.values())

    def has_files(self, name: str) -> bool:
        """Whether the folder of this account is there now."""
        return (self._folder(name) / FILES).is_dir()

    def passwd(self) -> str:
        """All accounts as lines of /etc/passwd, with those that sshd itself needs."""
        public = self._folder(PUBLIC_WRITER)
        special = (
            _line("root", 0, Path("/root")),
            _line("sshd", 65533, Path("/run/sshd")),
            _line(KEYS_ACCOUNT, _KEYS_UID, Path("/")),
            _line(PUBLIC_READER, _READER_UID, self._as_seen(public)),
        )
        own = (_line(a.name, a.uid, self._as_seen(a.folder)) for a in self._known.values())
        return "".join((*special, *own))

    def keys_uid(self) -> int:
        """The user as whom sshd asks for keys."""
        return _KEYS_UID

    def _folder(self, name: str) -> Path:
        if name == PUBLIC_WRITER:
            return self._data / "public"
        return self._data / _FOLDERS[name[:2]] / name[2:]

    def _as_seen(self, folder: Path) -> Path:
        return self._seen / folder.relative_to(self._data)

    def _found(self) -> Iterator[Account]:
        for prefix, name in _FOLDERS.items():
            for folder in (self._data / name).iterdir():
                yield from self._owned(f"{prefix}{folder.name}", folder)
        yield from self._owned(PUBLIC_WRITER, self._data / "public")

    def _owned(self, name: str, folder: Path) -> Iterator[Account]:
        files = folder / FILES
        if ACCOUNT.fullmatch(name) and files.is_dir() and not files.is_symlink():
            uid = files.lstat().st_uid
            if uid >= _FIRST_UID:
                yield Account(name, uid, folder)


def _line(name: str, uid: int, home: Path) -> str:
    return f"{name}:*:{uid}:{uid if uid else 0}::{home}:/bin/sh\n"


def _own(folder: Path, uid: int, mode: int) -> None:
    folder.mkdir(mode=mode, exist_ok=True)
    os.chown(folder, uid, uid, follow_symlinks=False)
    folder.chmod(mode)
