"""`petrihub fileserver`: keeps accounts and keys as the portal says, and sshd running."""

import base64
import hashlib
import os
import secrets
import shutil
import signal
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

from petrihub_cli.fileserver.accounts import Accounts
from petrihub_cli.fileserver.counting import FolderCounts
from petrihub_cli.fileserver.sshd import OWN, SEEN, Sshd, enter_own_view
from petrihub_cli.state import write_privately
from petrihub_core.carriers import FILE_SERVER_TOKEN
from petrihub_core.errors import ConfigError, PetriHubError, Unavailable
from petrihub_core.logs import get_logger
from petrihub_core.places import Counted
from petrihub_core.storage_keys import ACCOUNT
from petrihub_core.web import PORTAL_PREFIX

_EVERY = 1.0  # seconds between two questions to the portal
_FORGET_AFTER = 45.0  # seconds of silence after which nobody new is let in
_ANSWER_WITHIN = 10.0

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """Where the portal is, what proves us to it, where the files are, where to listen."""

    portal: str
    token_file: Path | None
    data: Path
    address: str
    port: int


class FileServer:
    """One file server; single-threaded, since its view of the machine belongs to a thread."""

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        if program is None:
            raise Unavailable(
                "OpenSSH's server is not installed.",
                hint="Install it with: sudo apt-get install openssh-server",
            )
        if os.geteuid() != 0:
            raise Unavailable(
                "The file server keeps people apart as users of the system, which only root can.",
                hint="Run it as root, for example by its systemd unit.",
            )
        data = wishes.data.resolve()
        data.mkdir(parents=True, exist_ok=True)
        os.chown(data, 0, 0)
        data.chmod(0o755)
        self._accounts = Accounts(data, SEEN)
        self._sshd = Sshd(Path(program), data, self._accounts.keys_uid())
        self._token_file = wishes.token_file or data / OWN / "token"
        self._client = httpx.Client(
            base_url=f"{wishes.portal.rstrip('/')}{PORTAL_PREFIX}",
            headers={"Authorization": f"Bearer {self._token()}"},
            timeout=_ANSWER_WITHIN,
        )
        self._heard = time.monotonic()
        self._problem = ""
        self._counts = FolderCounts(self._tell_count)
        self._ended = threading.Event()
        enter_own_view(data, self._accounts.passwd())

    def run(self) -> int:
        """Serve until asked to end; the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        log.info("its own key, for [storage.sftp]", host_key=self._sshd.public_key)
        while not self._round():  # until it knows who may come in, it lets nobody ask
            if self._ended.wait(_EVERY):
                return 0
        process = self._sshd.start(self._wishes.address, self._wishes.port)
        log.info("ready", address=f"{self._wishes.address}:{self._wishes.port}")
        try:
            while process.poll() is None and not self._ended.wait(_EVERY):
                self._round()
            return 0 if self._ended.is_set() else 1
        finally:
            process.terminate()
            process.wait()
            self._sshd.end_sessions(())
            self._counts.end()

    def _token(self) -> str:
        """What proves us to the portal; made if it is not there."""
        path = self._token_file
        try:
            if not path.exists():
                write_privately(path, secrets.token_hex(32))
            return path.read_text().strip()
        except OSError as exc:
            raise ConfigError(f"{path} cannot be used: {exc.strerror}.") from exc

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._ended.set()

    def _round(self) -> bool:
        """Ask the portal and follow; whether it could be asked."""
        try:
            told = self._ask()
            self._follow(told["logins"])
            self._look_for(told["kept"])
        except PetriHubError as exc:
            if exc.jupyterhub_message != self._problem:
                self._problem = exc.jupyterhub_message
                log.warning(self._problem)
            if time.monotonic() - self._heard > _FORGET_AFTER:
                # whoever is in stays in: a portal that is away must not take everybody's files
                for account in self._sshd.accounts_with_keys():
                    self._sshd.write_keys(account, ())
            return False
        self._heard, self._problem = time.monotonic(), ""
        return True

    def _ask(self) -> dict[str, Any]:
        try:
            answer = self._client.get("/storage/logins")
        except httpx.HTTPError as exc:
            raise Unavailable(
                f"The portal at {self._wishes.portal} does not answer: {exc}.",
                hint="Give its address with --portal, as a browser on this machine would use it.",
            ) from exc
        if answer.status_code == 404:
            raise ConfigError(
                "The portal does not know this file server.",
                hint=f"Copy {self._token_file} to secrets/{FILE_SERVER_TOKEN} in PetriHub's state "
                "folder.",
            )
        if not answer.is_success:
            raise Unavailable(f"The portal answers {answer.status_code}.")
        told: dict[str, Any] = answer.json()
        return told

    def _look_for(self, kept: list[str]) -> None:
        """Tell which of these folders, of groups that were deleted, somebody has removed."""
        for account in kept:
            if ACCOUNT.fullmatch(account) and not self._accounts.has_files(account):
                self._tell_count(account, None)

    def _tell_count(self, account: str, counted: Counted | None) -> None:
        """Tell the portal what is in a folder; if it does not listen, it is told the next time."""
        said = {"account": account, "counted": counted and counted.model_dump()}
        try:
            answer = self._client.post("/storage/counts", json=said)
        except httpx.HTTPError as exc:
            log.warning("a count was not told", account=account, reason=str(exc))
        else:
            # 404: files of somebody whom PetriHub does not know any more
            if not answer.is_success and answer.status_code != 404:
                log.warning("a count was not told", account=account, status=answer.status_code)

    def _follow(self, logins: list[dict[str, str]]) -> None:
        """Let in whom the portal names, and nobody else; ends the sessions of all others."""
        keys: dict[str, set[str]] = defaultdict(set)
        allowed = set()
        for login in logins:
            if not ACCOUNT.fullmatch(login["account"]):
                continue  # of a later PetriHub
            mark = fingerprint(login["key"])
            keys[login["account"]].add(f"{mark} {login['key']}")
            allowed.add((login["account"], mark))
        made = [self._accounts.ensure(account) for account in sorted(keys)]
        if any(made):
            self._sshd.write_accounts(self._accounts.passwd())
        self._counts.step(self._accounts.all(), keys)
        for account in {*keys, *self._sshd.accounts_with_keys()}:
            self._sshd.write_keys(account, keys.get(account, ()))
        if ended := self._sshd.end_sessions(allowed):
            log.info("sessions ended", count=ended)


def fingerprint(key: str) -> str:
    """What sshd calls the key."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
