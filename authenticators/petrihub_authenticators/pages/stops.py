"""JupyterHub's own way to stop a workspace, with a row in our audit trail.

What is stopped in the portal has its row there, and is asked of the hub by the portal's service.
"""

from jupyterhub.apihandlers.users import UserServerAPIHandler

from petrihub_core import audit


class AuditedServer(UserServerAPIHandler):  # type: ignore[misc] # JupyterHub has no types
    """Of a workspace: all as JupyterHub does it; a stop by a person is written down."""

    async def delete(self, user_name: str, server_name: str = "") -> None:
        """Stop, or remove; raises as JupyterHub does, and then there is no row."""
        await super().delete(user_name, server_name)
        if self.current_user.kind != "user":
            return
        removed = bool((self.get_json_body() or {}).get("remove"))
        async with self.authenticator.database.session() as session:
            await audit.record(
                session,
                actor=self.current_user.name,
                action="workspace.delete" if removed else "workspace.stop",
                target=f"{user_name}/{server_name}",
            )
