"""Which apps a running workspace has, as links that open them."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.ext.asyncio import AsyncSession

import petrihub_spawner
from petrihub_core.apps import AppDescriptor, catalog_apps
from petrihub_core.deployment import Deployment, Profile
from petrihub_core.images import allowed_images
from petrihub_core.tools import KIND_LABEL, TOOL_KIND
from petrihub_spawner.planner import image_apps, local_apps

_CATALOG = Path(petrihub_spawner.__file__).resolve().parents[2] / "catalog" / "apps"
_KEPT = 60.0  # seconds; an image that is built anew is seen within

Table = dict[str, tuple[AppDescriptor, ...]]


@dataclass(frozen=True)
class AppLink:
    """An app and the address that opens it in its workspace."""

    id: str
    title: str
    icon: str
    url: str

    @classmethod
    def to(cls, app: AppDescriptor, workspace_url: str) -> "AppLink":
        """The app of the workspace whose address is `workspace_url`, with its slash."""
        return cls(app.id, app.title, app.icon, f"{workspace_url}lab?petrihub-app={quote(app.id)}")


@dataclass(frozen=True)
class AppsOfProfiles:
    """The usable apps: of this machine (local backend), or by the name of their image."""

    deployment: Deployment
    table: Table
    tools: frozenset[str]  # images that are a tool of their own

    @classmethod
    async def read(cls, session: AsyncSession, deployment: Deployment) -> "AppsOfProfiles":
        """As of now, or of a moment ago."""
        known = _read.get(deployment.id)
        if known is None or known[0] < time.monotonic():
            everything = Profile(id="all", title="", sizes=("-",))
            tools: frozenset[str] = frozenset()
            if deployment.backend == "local":
                table = await asyncio.to_thread(_local, deployment, everything)
            else:
                images = await allowed_images(session)
                table = {name: image_apps(row, everything) for name, row in images.items()}
                tools = frozenset(
                    name for name, row in images.items() if row.labels.get(KIND_LABEL) == TOOL_KIND
                )
            known = _read[deployment.id] = (time.monotonic() + _KEPT, cls(deployment, table, tools))
        return known[1]

    def is_tool(self, profile: Profile) -> bool:
        """Whether a tool of its own runs there, behind the gate."""
        behind_gate = profile.tool is not None or profile.image in self.tools
        return behind_gate and self.deployment.backend != "local"

    def of(self, profile: Profile) -> tuple[AppDescriptor, ...]:
        """The profile's apps that can be opened."""
        if profile.tool is not None:
            return ()  # it is the workspace itself
        shelf = "" if self.deployment.backend == "local" else profile.image
        apps = self.table.get(shelf, ())
        return tuple(app for app in apps if profile.offers(app.id) and not app.unavailable)

    def every(self) -> dict[str, AppDescriptor]:
        """All apps of this deployment, by id; also those that cannot be opened, with the reason."""
        return {app.id: app for apps in self.table.values() for app in apps}

    def title(self, app_id: str) -> str:
        """The app's title, or its id if no image has it any more."""
        app = self.every().get(app_id)
        return app.title if app else app_id


_read: dict[str, tuple[float, AppsOfProfiles]] = {}


def _local(deployment: Deployment, everything: Profile) -> Table:
    return {"": local_apps(catalog_apps(_CATALOG), everything, deployment)}
