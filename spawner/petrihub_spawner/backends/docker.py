"""DockerWorkspaceSpawner: workspaces as containers of one engine."""

from dockerspawner import DockerSpawner

from petrihub_core.errors import ConfigError
from petrihub_spawner.backends.workspace import WorkspaceSteps
from petrihub_spawner.choices import Choices
from petrihub_spawner.circumstances import Circumstances
from petrihub_spawner.planner import CONTAINER_PORT
from petrihub_spawner.pod.model import WorkspacePod

_SECTIONS = ("Spawner", "DockerSpawner", "DockerWorkspaceSpawner")


class DockerWorkspaceSpawner(WorkspaceSteps, DockerSpawner):  # type: ignore[misc]  # has no types
    """One hardened container in a network of its own for each workspace.

    What DockerSpawner's own settings would change comes from petrihub.toml instead.
    """

    # DockerSpawner would keep the container for the next start and, for that, its token valid; each
    # start of ours makes both anew, so JupyterHub revokes the token at each stop
    will_resume = False

    def listen_at(self) -> int:
        """The port inside the container, where all addresses are its own."""
        self.ip = "0.0.0.0"  # noqa: S104 - inside the container's own network
        self.port = CONTAINER_PORT
        return CONTAINER_PORT

    async def planned_pod(self, choices: Choices, seen: Circumstances) -> WorkspacePod:
        """The pod of the next start; raises `ConfigError` for settings that have no effect."""
        own = DockerSpawner.class_own_traits(config=True)
        foreign = [f"c.{s}.{n}" for s in _SECTIONS for n in self.config.get(s, {}) if n in own]
        if foreign:
            raise ConfigError(
                f"{', '.join(foreign)} is set, but has no effect here.",
                hint="Remove it; sizes, images and networks are set in petrihub.toml.",
            )
        return await super().planned_pod(choices, seen)

    def get_env(self) -> dict[str, str]:
        """What JupyterHub needs inside; the container's own settings come from the plan."""
        environment: dict[str, str] = super(DockerSpawner, self).get_env()
        return environment

    async def start(self) -> str:
        """Start the workspace; its address."""
        return await self.run_start()

    async def stop(self, now: bool = False) -> None:
        """End the workspace's containers and remove its network; the home stays."""
        await self.run_stop(now=now)

    async def poll(self) -> int | None:
        """None while it runs, or while the engine cannot be asked."""
        return await self.run_poll()

    async def get_url(self) -> str:
        """Where it answers."""
        return await self.run_get_url() or str(self.server.url)
