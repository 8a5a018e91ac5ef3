"""From an app descriptor to a launch: what is started, where it listens, when it is ready."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from petrihub_extensions.descriptors import DESKTOP, AppDescriptor, argv, fill
from petrihub_extensions.desktop import igv, igv_start
from petrihub_extensions.desktop.windows import shown_windows
from petrihub_extensions.errors import StartFailed
from petrihub_extensions.instance import Instance, Launch
from petrihub_extensions.programs import program_on, search_path
from petrihub_extensions.readiness import Endpoint, accepts, answers_http, free_port

# a unix socket's path may not be longer than this on Linux
LONGEST_SOCKET = 107


def private_folder(root: Path) -> Path:
    """A fresh folder for sockets, for our eyes only, outside of the served `root` if possible."""
    places = [tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]  # noqa: S108 - mkdtemp below
    outside = [place for place in places if not Path(place).resolve().is_relative_to(root)]
    for place in outside:
        with contextlib.suppress(OSError):
            return Path(tempfile.mkdtemp(prefix="petrihub-", dir=place))
    return Path(tempfile.mkdtemp(prefix="petrihub-"))


class Launcher:
    """Makes launches for the apps of one workspace."""

    def __init__(
        self, *, root: Path, folder: Path, base_url: str, environment: Mapping[str, str]
    ) -> None:
        self.root = root
        self.folder = folder
        self.base_url = base_url
        self._environment = environment

    @property
    def path(self) -> str:
        """Where programs are looked for."""
        return search_path(self._environment)

    def url(self, app: AppDescriptor, instance: str) -> str:
        """Where the browser finds it; every desktop program is seen on the one desktop."""
        if app.kind == "desktop" or app.id == DESKTOP:
            return f"{self.base_url}petrihub/desktop/"
        return f"{self.base_url}petrihub/app/{instance}/"

    async def web(self, instance: Instance) -> Launch:
        """A server of its own behind the proxy."""
        app = instance.app
        socket = str(self.folder / f"{instance.id}.sock") if app.socket else None
        if socket:
            if len(socket) > LONGEST_SOCKET:
                raise StartFailed("The temporary folder's name is too long for a socket.")
            await asyncio.to_thread(Path(socket).unlink, missing_ok=True)
        endpoint = Endpoint(port=0 if socket else free_port(), socket=socket)
        values = self._values(instance, port=endpoint.port, socket=socket)
        health = (instance.url.rstrip("/") if app.absolute_url else "") + app.health

        async def ready() -> bool:
            return await answers_http(endpoint, health)

        return self._launch(app, values, ready=ready, endpoint=endpoint)

    async def desktop(self, instance: Instance) -> Launch:
        """The X server and the session in it, as one program that listens on a socket."""
        folder = self.folder / "desktop"
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        await asyncio.to_thread(folder.mkdir, mode=0o700)
        endpoint = Endpoint(socket=str(folder / "vnc.sock"))
        values = self._values(instance, port=0, socket=endpoint.socket)
        session = argv(instance.app.command, values)
        if session and not program_on(session[0], self.path):
            raise StartFailed(f"{instance.app.title} needs {session[0]}, which is not installed.")

        async def ready() -> bool:
            return (folder / "display").exists() and await accepts(endpoint)

        return Launch(
            argv=[
                *(sys.executable, "-P", "-m", "petrihub_extensions.desktop.session"),
                *(str(folder), str(endpoint.socket), "--", *session),
            ],
            environment=self._surroundings(instance.app, values),
            cwd=self.root,
            ready=ready,
            endpoint=endpoint,
        )

    async def program(self, instance: Instance, desktop: Instance) -> Launch:
        """A program in a window of the desktop, which is started first if need be."""
        desktop.start()
        if await desktop.settled() != "ready":
            why = desktop.reason or "It was stopped."
            raise StartFailed(f"The desktop did not start. {why}")
        folder = self.folder / "desktop"
        display = (folder / "display").read_text(encoding="ascii").strip()
        before = await shown_windows(display, folder / "authority")
        own_port = any("{port}" in element for element in instance.app.command)
        port = free_port() if own_port else igv.PORT
        endpoint = Endpoint(port=port)

        async def ready() -> bool:
            if instance.app.id == igv.IGV:
                return await accepts(endpoint)
            return bool(await shown_windows(display, folder / "authority") - before)

        values = self._values(instance, port=port, socket=None)
        screen = {"DISPLAY": display, "XAUTHORITY": str(folder / "authority")}
        return self._launch(
            instance.app, values, ready=ready, endpoint=endpoint, screen=screen, host=desktop
        )

    def _values(
        self, instance: Instance, *, port: int, socket: str | None
    ) -> dict[str, str | None]:
        return {
            "port": str(port),
            "socket": socket,
            "base_url": instance.url,
            "file": str(self.root / instance.path) if instance.path else None,
            "home": os.path.expanduser("~"),
        }

    def _launch(
        self,
        app: AppDescriptor,
        values: Mapping[str, str | None],
        *,
        ready: Callable[[], Awaitable[bool]],
        endpoint: Endpoint,
        screen: Mapping[str, str] | None = None,
        host: Instance | None = None,
    ) -> Launch:
        command = argv(app.command, values)
        environment = {**self._surroundings(app, values), **(screen or {})}
        if not program_on(command[0], search_path(environment)):
            raise StartFailed(f"{app.title} needs {command[0]}, which is not on PATH.")
        if app.id == igv.IGV:
            command = [sys.executable, "-P", "-m", igv_start.__name__, *command]
        return Launch(command, environment, self.root, ready, endpoint=endpoint, host=host)

    def _surroundings(self, app: AppDescriptor, values: Mapping[str, str | None]) -> dict[str, str]:
        extra = {name: fill(value, values) for name, value in app.environment.items()}
        return {**self._environment, **extra}
