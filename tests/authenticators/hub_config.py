"""A real hub with our door and our frame, without a proxy: the tests talk to the hub itself.

The folder in `DOOR_FOLDER` holds `petrihub.toml` and `port`.
"""

import os
import sys
from pathlib import Path
from typing import ClassVar

from jupyterhub.proxy import Proxy
from jupyterhub.spawner import SimpleLocalProcessSpawner

from petrihub_authenticators import door
from petrihub_core import web
from petrihub_core.deployment import read_deployment
from petrihub_portal.registration import custom_scopes, hub_roles, workspace_scopes

FOLDER = Path(os.environ["DOOR_FOLDER"])
PORT = int((FOLDER / "port").read_text())
deployment = read_deployment()


class NoProxy(Proxy):
    """Routes are remembered and lead nowhere."""

    async def add_route(self, routespec: str, target: str, data: dict[str, object]) -> None:
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec: str) -> None:
        self.routes.pop(routespec, None)

    async def get_all_routes(self) -> dict[str, dict[str, object]]:
        return self.routes

    routes: ClassVar[dict[str, dict[str, object]]] = {}
    should_start = False


class Tiny(SimpleLocalProcessSpawner):
    """A process that answers at once; a workspace named `never` never does."""

    async def start(self) -> object:
        script = "never.py" if self.name == "never" else "tiny.py"
        self.cmd = [sys.executable, str(FOLDER / script)]
        return await super().start()

    def get_args(self) -> list[str]:
        return []


c = get_config()  # noqa: F821 - given by JupyterHub
c.JupyterHub.authenticator_class = door.PetriHubAuthenticator
if "DOOR_REFRESH_AGE" in os.environ:
    c.Authenticator.auth_refresh_age = int(os.environ["DOOR_REFRESH_AGE"])
c.JupyterHub.spawner_class = Tiny
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 1}  # else `never` is answered after 10 s
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.bind_url = f"http://127.0.0.1:{PORT + 1}/"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{PORT}"
c.JupyterHub.db_url = f"sqlite:///{deployment.state / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(FOLDER / "cookie_secret")
c.JupyterHub.redirect_to_server = False
c.JupyterHub.allow_named_servers = True
c.JupyterHub.template_paths = [*door.template_paths(), *web.template_paths()]
c.JupyterHub.extra_handlers = web.static_handlers()
c.JupyterHub.template_vars = {
    **web.template_vars(deployment),
    "ph_may_administer": door.may_administer,
}
c.JupyterHub.log_level = "DEBUG"
c.JupyterHub.services = [
    {
        "name": "probe",
        "url": "http://127.0.0.1:9",
        "api_token": "probe-token-of-the-tests",
        "oauth_client_id": "service-probe",
        "oauth_redirect_uri": "/services/probe/oauth_callback",
        "oauth_no_confirm": True,
        "display": False,
    },
    {"name": "portal", "api_token": "portal-token-of-the-tests"},
]
# the portal itself does not run here: its token and its rights are the product's
c.JupyterHub.custom_scopes = {**custom_scopes(), **workspace_scopes()}
c.JupyterHub.load_roles = hub_roles()
c.JupyterHub.load_roles[0]["scopes"].append("access:services")
