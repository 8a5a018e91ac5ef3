"""The routing proxy as the hub knows it: its count of bytes is no use where a gate counts it."""

from typing import Any

from jupyterhub.proxy import ConfigurableHTTPProxy


class WorkspaceProxy(ConfigurableHTTPProxy):  # type: ignore[misc]  # JupyterHub has no types
    """JupyterHub takes the later of what the proxy counts and what a workspace reports.

    To the proxy every byte is activity, also the pings by which a forgotten tab keeps its
    websocket open. A gate tells messages from pings and reports what it saw, so that where there is
    one the hub hears of nothing else.
    """

    async def get_all_routes(self) -> dict[str, dict[str, Any]]:
        """The proxy's routes; without its last activity for workspaces that tell it themselves."""
        routes: dict[str, dict[str, Any]] = await super().get_all_routes()
        for route in routes.values():
            if self._tells_use(route["data"]):
                route["data"].pop("last_activity", None)
        return routes

    def _tells_use(self, data: dict[str, Any]) -> bool:
        user = self.app.users.get(data.get("user", ""))
        spawner = user.spawners.get(data.get("server_name", "")) if user else None
        return bool(getattr(spawner, "tells_use", False))
