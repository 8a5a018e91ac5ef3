"""The apps of this workspace and what runs of them: open, stop, list."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from petrihub_extensions.availability import why_not
from petrihub_extensions.descriptors import DESKTOP, AppDescriptor
from petrihub_extensions.desktop import igv
from petrihub_extensions.errors import AppBusy, AppError, UnknownApp
from petrihub_extensions.files import resolve_file
from petrihub_extensions.instance import Instance, Launch, State
from petrihub_extensions.launching import Launcher
from petrihub_extensions.places import mounted

MOST_AT_ONCE = 8
_LOADING_SECONDS = 20.0
_IN_SIGHT: tuple[State, ...] = ("starting", "ready", "failed", "stopped")


class Workspace:
    """One instance per (app, file); all changes happen on the server's event loop."""

    def __init__(self, apps: Iterable[AppDescriptor], launcher: Launcher) -> None:
        self.apps = {app.id: app for app in apps}
        self._launcher = launcher
        self._instances: dict[str, Instance] = {}
        self._loading: set[asyncio.Task[None]] = set()
        if DESKTOP not in self.apps and any(app.kind == "desktop" for app in self.apps.values()):
            self.apps[DESKTOP] = AppDescriptor(
                *(DESKTOP, "Desktop", "desktop", ()),
                summary="A Linux desktop in the browser",
                icon=DESKTOP,
            )

    @property
    def root(self) -> Path:
        """The folder that people see as their files."""
        return self._launcher.root

    def app(self, id_: str) -> AppDescriptor:
        """The app; UnknownApp when this workspace has none of that id."""
        if id_ not in self.apps:
            raise UnknownApp(
                "This workspace has no such app.", hint="Open the launcher to see its apps."
            )
        return self.apps[id_]

    def instance(self, id_: str) -> Instance | None:
        """The instance, running or not; None when it was never opened."""
        return self._instances.get(id_)

    def instances(self, app: AppDescriptor) -> list[Instance]:
        """The instances of an app, oldest first."""
        return [each for each in self._instances.values() if each.app.id == app.id]

    async def listing(self) -> list[dict[str, Any]]:
        """All apps as the API tells them."""
        apps = list(self.apps.values())
        reasons = await asyncio.to_thread(lambda: [self._why_not(app) for app in apps])
        return [self._as_json(app, why) for app, why in zip(apps, reasons, strict=True)]

    async def describe(self, app: AppDescriptor) -> dict[str, Any]:
        """One app as the API tells it."""
        return self._as_json(app, await asyncio.to_thread(self._why_not, app))

    async def open(self, id_: str, path: str | None) -> dict[str, Any]:
        """Starts the app, with the file if one is given, unless that already runs; its state."""
        app = self.app(id_)
        reason = await asyncio.to_thread(self._why_not, app)
        if reason:
            raise AppBusy(reason)
        file = await self._file(app, path)
        instance = self._instance_for(app, file)
        if not instance.alive:
            self._make_room(app)
            instance.path = file
            instance.start()
        elif app.id == igv.IGV and file:
            await self._load(instance, file)
        return {**await self.describe(app), **instance.as_json()}

    async def stop(self, id_: str, instance: str | None = None) -> dict[str, Any]:
        """Ends one instance, or all of the app; with the desktop go the programs on it."""
        app = self.app(id_)
        if instance is not None and instance not in self._instances:
            raise UnknownApp(f"{app.title} does not run with that file.")
        if app.id == DESKTOP:
            programs = [each for each in self._instances.values() if each.app.kind == "desktop"]
            await _stop_all(each for each in programs if each.app.id != DESKTOP)
        await _stop_all(
            each for each in self.instances(app) if instance is None or each.id == instance
        )
        return await self.describe(app)

    async def close(self) -> None:
        """Ends everything, for the end of the server."""
        await _stop_all(self._instances.values())
        await asyncio.to_thread(shutil.rmtree, self._launcher.folder, ignore_errors=True)

    def log(self, app: AppDescriptor, instance: str | None) -> str:
        """The newest output of an instance, or of the app's latest one."""
        chosen = self._instances.get(instance) if instance else None
        if chosen is None or chosen.app.id != app.id:
            chosen = next(iter(reversed(self.instances(app))), None)
        text = chosen.log.text() if chosen else ""
        desktop = self._instances.get(DESKTOP)
        if not text and app.kind == "desktop" and desktop is not None:
            return desktop.log.text()
        return text

    def _why_not(self, app: AppDescriptor) -> str:
        return why_not(app, self.apps.get(DESKTOP), self._launcher.path)

    async def _file(self, app: AppDescriptor, path: str | None) -> str | None:
        """The file below the root, checked; None when the app is opened without one."""
        if path is None:
            if app.needs_file:
                types = ", ".join(app.file_types)
                raise AppError(f"{app.title} opens a file.", hint=f"Choose a file of type {types}.")
            return None
        if not app.takes_file:
            raise AppError(f"{app.title} does not open files.", hint="Open it from the launcher.")
        file = await asyncio.to_thread(resolve_file, self.root, path, mounted().values())
        if app.file_types and not app.opens(path):
            types = ", ".join(app.file_types)
            raise AppError(
                f"{app.title} does not open {Path(path).name}.", hint=f"It opens {types}."
            )
        inside = file.is_relative_to(self.root)
        return file.relative_to(self.root).as_posix() if inside else PurePosixPath(path).as_posix()

    def _instance_for(self, app: AppDescriptor, file: str | None) -> Instance:
        id_ = app.id
        if file and app.id != igv.IGV:  # IGV shows many files in one window
            # a dot never stands in an app's id, so instances of two apps cannot be mixed up
            id_ = f"{app.id}.{hashlib.sha256(file.encode()).hexdigest()[:12]}"
        if id_ not in self._instances:
            url = self._launcher.url(app, id_)
            self._instances[id_] = Instance(id_, app, path=file, url=url, plan=self._plan)
        return self._instances[id_]

    async def _plan(self, instance: Instance) -> Launch:
        if instance.app.id == DESKTOP:
            return await self._launcher.desktop(instance)
        if instance.app.kind == "desktop":
            desktop = self._instance_for(self.apps[DESKTOP], None)
            return await self._launcher.program(instance, desktop)
        return await self._launcher.web(instance)

    def _make_room(self, app: AppDescriptor) -> None:
        """Refuses one instance too many; forgets the oldest ended ones."""
        mine = self.instances(app)
        if sum(each.alive for each in mine) >= MOST_AT_ONCE:
            raise AppBusy(
                f"{app.title} is already open {MOST_AT_ONCE} times.",
                hint="Stop one of them under Running Terminals and Kernels.",
            )
        ended = [each for each in mine if not each.alive]
        for each in ended[: max(0, len(ended) - MOST_AT_ONCE)]:
            del self._instances[each.id]

    async def _load(self, instance: Instance, file: str) -> None:
        if '"' in file:
            raise AppError(
                "IGV cannot read file names with quotation marks.", hint="Rename the file."
            )
        if await instance.settled() != "ready":
            return
        loading = asyncio.create_task(self._hand_over(instance, file))
        self._loading.add(loading)
        loading.add_done_callback(self._loading.discard)
        # a big file takes its time, and IGV shows its own progress
        await asyncio.wait({loading}, timeout=_LOADING_SECONDS)
        if loading.done():
            loading.result()

    async def _hand_over(self, instance: Instance, file: str) -> None:
        if instance.endpoint is not None:
            await igv.load(self.root / file, instance.endpoint.port)
            instance.path = file

    def _as_json(self, app: AppDescriptor, reason: str) -> dict[str, Any]:
        instances = self.instances(app)
        shown = min(instances, key=lambda each: _IN_SIGHT.index(each.state), default=None)
        running = [each for each in instances if each.alive]
        state = shown.state if shown else "stopped"
        unavailable = bool(reason) and not running
        return {
            "id": app.id,
            "title": app.title,
            "summary": app.summary,
            "icon_url": f"{self._launcher.base_url}petrihub/api/icons/{app.id}",
            "kind": app.kind,
            "file_types": list(app.file_types),
            "needs_file": app.needs_file,
            "state": "unavailable" if unavailable else state,
            "reason": reason if unavailable else (shown.reason if shown else ""),
            "url": running[0].url if running else None,
            "instances": [each.as_json() for each in instances if each.state != "stopped"],
        }


async def _stop_all(instances: Iterable[Instance]) -> None:
    await asyncio.gather(*(each.stop() for each in list(instances)))
