"""LocalWorkspaceSpawner: workspaces as processes of this machine."""

from jupyterhub.spawner import Spawner

from petrihub_core.ports import free_port
from petrihub_spawner.backends.local_runner import HOST
from petrihub_spawner.backends.workspace import WorkspaceSteps


class LocalWorkspaceSpawner(WorkspaceSteps, Spawner):  # type: ignore[misc]  # JupyterHub has no types
    """One process group a workspace, as the account that runs the hub.

    For one person, or people who trust each other. It cannot hold anybody to a size.
    """

    def listen_at(self) -> int:
        """A free port of the loopback address."""
        self.ip = HOST
        self.port = free_port(HOST)
        return int(self.port)

    async def start(self) -> str:
        """Start the workspace; its address."""
        return await self.run_start()

    async def stop(self, now: bool = False) -> None:
        """End the workspace's processes."""
        await self.run_stop(now=now)

    async def poll(self) -> int | None:
        """None while it runs."""
        return await self.run_poll()

    async def get_url(self) -> str:
        """Where it answers."""
        return await self.run_get_url() or str(self.server.url)
