"""A portal, a file server beside it, and people with started workspaces; all real but the hub."""

import asyncio
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import uvicorn

from petrihub_cli.state import keys
from petrihub_core import groups
from petrihub_core.carriers import SftpSection, StorageSection
from petrihub_core.database import Database, migrate
from petrihub_core.deployment import Deployment
from petrihub_core.intents import START, STOP, Effect, Intents
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.places import Kind, usage
from petrihub_core.ports import free_port
from petrihub_core.records import Group, GroupMember, Person, new_id
from petrihub_core.roles import Actor, Permission
from petrihub_core.settings.vault import new_key_line
from petrihub_core.storage_keys import enrol
from petrihub_core.storage_records import StorageUsage
from petrihub_portal.app import make_app
from petrihub_portal.serve import make_portal
from petrihub_spawner.contract import until

from tests.platform import petrihub

PATIENCE = 60.0
_BOSS = Actor("boss", frozenset(Permission))


@dataclass
class House:
    """One deployment with storage elsewhere; `address` is where the file server listens."""

    folder: Path
    deployment: Deployment
    address: str = "127.0.0.1"
    portal_port: int = field(default_factory=free_port)
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None
    _server: uvicorn.Server | None = None

    def __post_init__(self) -> None:
        self.deployment = self.deployment.model_copy(
            update={
                "storage": StorageSection(
                    carrier="sftp",
                    sftp=SftpSection(
                        host=self.address, port=self.port, host_key="ssh-ed25519 AAAA"
                    ),
                )
            }
        )
        self.found = keys(self.deployment)
        (self.deployment.secrets / "settings_keys").write_text(f"{new_key_line()}\n")
        asyncio.run(migrate(self.deployment.database_url))

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.portal_port}"

    @property
    def log(self) -> str:
        return (self.folder / "fileserver.log").read_text()

    def open_portal(self) -> None:
        app = make_app(make_portal(self.deployment, self.found, "http://127.0.0.1:9/hub/api"))
        config = uvicorn.Config(app, port=self.portal_port, log_level="error", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        wait_for(lambda: listens("127.0.0.1", self.portal_port), "the portal")

    def close_portal(self) -> None:
        if self._server:
            self._server.should_exit = True
            self._thread.join(PATIENCE)

    def start_file_server(self) -> None:
        token = self.folder / "token"
        token.write_text((self.deployment.secrets / "file_server_token").read_text())
        options = {
            "portal": self.url,
            "token-file": token,
            "data": self.data,
            "address": self.address,
            "port": self.port,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self.process = subprocess.Popen(
            petrihub("fileserver", *words),
            stdout=(self.folder / "fileserver.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        wait_for(self._answers, "the file server", lambda: self.log)
        key = (self.data / ".server" / "host_key.pub").read_text().split()
        storage = self.deployment.storage
        assert storage.sftp is not None
        sftp = storage.sftp.model_copy(update={"host_key": " ".join(key[:2])})
        self.deployment = self.deployment.model_copy(
            update={"storage": storage.model_copy(update={"sftp": sftp})}
        )

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        return listens(self.address, self.port)

    def sessions(self) -> list[int]:
        """The process ids that sessions were noted for."""
        return [int(path.name) for path in (self.data / ".server" / "sessions").iterdir()]

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Portal and file server run until the block ends."""
        self.open_portal()
        try:
            self.start_file_server()
            yield
        finally:
            self.stop_file_server()
            self.close_portal()

    def stop_file_server(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(PATIENCE)
            self.process = None

    def freeze(self) -> list[int]:
        """As if its machine hung: nothing answers, nothing is closed. What was frozen."""
        assert self.process is not None
        frozen = [self.process.pid, *self._sshds()]
        for pid in frozen:
            with suppress(ProcessLookupError):  # one that counted, or a session, may have ended
                os.kill(pid, signal.SIGSTOP)
        return frozen

    def thaw(self, frozen: list[int]) -> None:
        for pid in frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _sshds(self) -> list[int]:
        assert self.process is not None
        return [each.pid for each in psutil.Process(self.process.pid).children(recursive=True)]

    def kill_file_server(self) -> list[int]:
        """Without a word: sessions too."""
        assert self.process is not None
        for pid in (*self._sshds(), self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        self.process = None
        return []


@dataclass
class Started:
    """A start of a workspace that is on record, and the key that was made for it."""

    person: str
    workspace: str
    intent: str
    key: str
    key_file: Path


@dataclass
class Tables:
    """People and starts, written as the hub writes them."""

    house: House
    database: Database
    intents: Intents

    async def person(self) -> str:
        async with self.database.session() as session:
            person = Person(issuer=LOCAL_ISSUER, subject=new_id(), username=f"p{new_id()[:10]}")
            session.add(person)
            await session.flush()
            return person.id

    async def group(self, *members: str) -> str:
        async with self.database.session() as session:
            group = Group(name=f"g{new_id()[:8]}", title="A group")
            session.add(group)
            await session.flush()
            for each in members:
                session.add(GroupMember(group_id=group.id, person_id=each))
            return group.id

    async def leave(self, person: str, group: str) -> None:
        async with self.database.session() as session:
            await session.delete(await session.get_one(GroupMember, (group, person)))

    async def delete_group(self, group: str) -> None:
        async with self.database.session() as session:
            row = await session.get_one(Group, group)
            await groups.delete_group(session, _BOSS, row.name)

    async def used(self, kind: str, subject: str, *, files: int) -> StorageUsage:
        """What was counted there, once there are so many files or more."""
        found: list[StorageUsage] = []

        async def there() -> bool:
            async with self.database.reading() as session:
                row = await usage(session, Kind(kind), subject)
            found[:] = [row] if row and row.files >= files else []
            return bool(found)

        await until(there, patience=PATIENCE)
        return found[0]

    async def not_used(self, kind: str, subject: str) -> None:
        """Until nothing is said of it any more."""

        async def gone() -> bool:
            async with self.database.reading() as session:
                return await session.get(StorageUsage, (kind, subject)) is None

        await until(gone, patience=PATIENCE)

    async def begin(self, person: str, workspace: str = "study") -> str:
        row = await self.intents.begin(self._effect(START, person, workspace), deadline_s=60)
        await self.intents.finish(row.id)
        return row.id

    async def start(self, person: str, *accounts: str, workspace: str = "study") -> Started:
        intent = await self.begin(person, workspace)
        async with self.database.session() as session:
            key = await enrol(
                session,
                owner=person,
                workspace=workspace,
                intent=intent,
                accounts=list(accounts or (f"h-{person}",)),
            )
        path = self.house.folder / f"key-{intent}"
        path.touch(mode=0o600)
        path.write_text(key)
        return Started(person, workspace, intent, key, path)

    async def stop(self, started: Started) -> None:
        effect = self._effect(STOP, started.person, started.workspace)
        await self.intents.finish((await self.intents.begin(effect, deadline_s=60)).id)

    def _effect(self, kind: str, person: str, workspace: str) -> Effect:
        return Effect(
            kind=kind, workspace=f"{person}/{workspace}", owner=person, external={}, plan={}
        )


def listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def wait_for(ready, what, more=lambda: ""):
    """The first true answer."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := ready():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {PATIENCE} s: {what}\n{more()}")
