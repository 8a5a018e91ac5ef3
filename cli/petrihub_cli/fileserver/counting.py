"""Counts what is in the folders of the file server: slowly, one after the other.

Each is counted by a process of its own that sees nothing but this folder (chroot) and is nobody
but its account, so what people make of their folders leads it nowhere.
"""

import os
import resource
import runpy
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

from petrihub_cli.fileserver.accounts import FILES, Account
from petrihub_core.errors import Unavailable
from petrihub_core.logs import get_logger
from petrihub_core.places import Counted
from petrihub_core.storage_keys import PUBLIC_READER, PUBLIC_WRITER
from petrihub_spawner.backends.local_meter import PROGRAM
from petrihub_spawner.counting import EVERY, answered

_EVERY = EVERY.total_seconds()  # between two counts of a folder that is in use
_ANYWAY = 24 * 3600
_MEMORY = 2**30  # bytes; a folder that takes more is not counted
_LONGEST = 4096  # bytes of an answer

log = get_logger(__name__)


@dataclass
class _Count:
    """One that goes on: of what, by which process, and where its answer comes."""

    account: Account
    pid: int
    answer: int


@dataclass
class FolderCounts:
    """`tell` takes an account's name and what is in its folder; None: the folder is gone."""

    tell: Callable[[str, Counted | None], None]
    clock: Callable[[], float] = time.monotonic
    _present: _Count | None = None
    # when each was last looked at, and whether somebody could write there then
    _last: dict[str, tuple[float, bool]] = field(default_factory=dict)

    def step(self, accounts: Iterable[Account], in_use: Collection[str]) -> None:
        """See whether the present count has ended, or begin the next; never waits."""
        if self._present is not None and not self._has_ended(self._present):
            return
        used = {PUBLIC_WRITER if each == PUBLIC_READER else each for each in in_use}
        # those whose people are at work come first
        for account in sorted(accounts, key=lambda each: each.name not in used):
            if self._is_due(account.name, account.name in used):
                self._last[account.name] = (self.clock(), account.name in used)
                self._begin(account)
                return

    def end(self) -> None:
        """Do not wait for the present count."""
        if self._present is not None:
            os.kill(self._present.pid, signal.SIGKILL)
            self._finish(self._present)

    def _is_due(self, name: str, in_use: bool) -> bool:
        if name not in self._last:
            return True
        when, was_in_use = self._last[name]
        age = self.clock() - when
        return age >= _ANYWAY or ((in_use or was_in_use) and age >= _EVERY)

    def _begin(self, account: Account) -> None:
        if not (account.folder / FILES).is_dir():
            self.tell(account.name, None)
            return
        answer, theirs = os.pipe()
        pid = os.fork()  # there is one thread; a new program could not be read by the account
        if pid == 0:
            _count(account, theirs)
        os.close(theirs)
        self._present = _Count(account, pid, answer)

    def _has_ended(self, count: _Count) -> bool:
        ended, _ = os.waitpid(count.pid, os.WNOHANG)
        if not ended:
            return False
        said = os.read(count.answer, _LONGEST).decode(errors="replace")
        self._close(count)
        try:
            self.tell(count.account.name, answered(said))
        except Unavailable as exc:
            log.warning("not counted", account=count.account.name, reason=exc.message)
        return True

    def _finish(self, count: _Count) -> None:
        with suppress(ChildProcessError):
            os.waitpid(count.pid, 0)
        self._close(count)

    def _close(self, count: _Count) -> None:
        os.close(count.answer)
        self._present = None


def _count(account: Account, answer: int) -> NoReturn:
    """The process that counts; its last words are the answer."""
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(answer, sys.stdout.fileno())
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        program = runpy.run_path(str(PROGRAM))  # by path: nothing of the sidecars is imported
        os.chroot(account.folder)
        os.chdir("/")
        os.setgroups([])
        os.setgid(account.uid)
        os.setuid(account.uid)
        sys.argv = [str(PROGRAM), f"/{FILES}"]
        program["main"]()
        sys.stdout.flush()
        code = 0
    finally:
        os._exit(code)
