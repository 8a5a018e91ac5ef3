"""A real JupyterHub around our spawners, as small as it can be; its routes are kept in memory."""

import os
from pathlib import Path

from jupyterhub.proxy import Proxy

from petrihub_core.deployment import read_deployment
from petrihub_spawner.titles import hub_handlers

c = get_config()  # noqa: F821 - given by JupyterHub
deployment = read_deployment()


class RouteTable(Proxy):
    """Nothing is proxied: the tests knock at the workspaces directly."""

    should_start = False

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.routes = {}

    async def add_route(self, routespec, target, data):
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec):
        self.routes.pop(routespec, None)

    async def get_all_routes(self):
        return self.routes


port = int(os.environ["TEST_HUB_PORT"])
c.JupyterHub.bind_url = f"http://127.0.0.1:{port + 1}/"
c.JupyterHub.hub_bind_url = f"http://{os.environ.get('TEST_HUB_IP', '127.0.0.1')}:{port}"
c.JupyterHub.proxy_class = RouteTable
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = f"petrihub-{deployment.backend}"
c.JupyterHub.allow_named_servers = True
c.JupyterHub.extra_handlers = hub_handlers()
c.JupyterHub.cleanup_servers = False
c.JupyterHub.cleanup_proxy = False
c.JupyterHub.db_url = f"sqlite:///{deployment.state / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(deployment.state / "cookie-secret")
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.JupyterHub.init_spawners_timeout = 30
c.JupyterHub.services = [{"name": "tester", "api_token": os.environ["TEST_HUB_TOKEN"]}]
c.JupyterHub.load_roles = [
    {
        "name": "tester",
        "services": ["tester"],
        "scopes": [
            "admin:users",
            "admin:servers",
            "admin:server_state",
            "list:users",
            "read:hub",
            "tokens",
        ],
    }
]
c.Spawner.http_timeout = 10
c.Spawner.poll_interval = 1
c.WorkspaceSteps.apps_folder = str(Path(os.environ["TEST_APPS"]))
