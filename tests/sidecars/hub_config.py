"""A real JupyterHub with its real proxy, whose servers are gates; the tests start the tool."""

import json
import os
import sys
from pathlib import Path

from jupyterhub.spawner import SimpleLocalProcessSpawner

from petrihub_portal.origins import subdomain_hook
from petrihub_portal.registration import server_token_scopes, workspace_scopes
from petrihub_portal.tool_log import log_handlers

c = get_config()  # noqa: F821 - given by JupyterHub
folder = Path(os.environ["TEST_FOLDER"])
port = int(os.environ["TEST_HUB_PORT"])


class Tools:
    """Knows what the tools wrote, which the tests start."""

    async def log_tail(self, name):
        return (folder / f"{name}.log").read_text()


class GateSpawner(SimpleLocalProcessSpawner):
    """Starts the gate as a process of this machine, told what the planner tells it."""

    home_dir_template = str(folder)
    cmd = [sys.executable, "-P", "-m", "petrihub_sidecars", "gate"]  # noqa: RUF012

    @property
    def tells_use(self):
        return json.loads((folder / f"{self.name}.json").read_text())["tells_use"]

    async def ref(self):
        return self.name

    def runner(self):
        return Tools()

    def get_env(self):
        told = json.loads((folder / f"{self.name}.json").read_text())
        return {
            **super().get_env(),
            "PETRIHUB_DEPLOYMENT": "testing",
            "PETRIHUB_PERSON": f"id-of-{self.user.name}",
            "PETRIHUB_WORKSPACE": self.name,
            "PETRIHUB_GATE": json.dumps(told["gate"]),
            **told.get("environment", {}),
        }


c.JupyterHub.bind_url = f"http://127.0.0.1:{port}/"
if domain := os.environ["TEST_DOMAIN"]:
    c.JupyterHub.bind_url = f"https://127.0.0.1:{port}/"
    c.JupyterHub.ssl_key, c.JupyterHub.ssl_cert = str(folder / "key.pem"), str(folder / "cert.pem")
    c.JupyterHub.subdomain_host = f"https://{domain}:{port}"
    c.JupyterHub.subdomain_hook = subdomain_hook
    c.JupyterHub.cookie_host_prefix_enabled = True
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{port + 1}"
c.JupyterHub.proxy_class = "petrihub_spawner.routing_proxy.WorkspaceProxy"
c.JupyterHub.last_activity_interval = 1
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{port + 2}"
c.ConfigurableHTTPProxy.auth_token = os.environ["TEST_HUB_TOKEN"]
c.ConfigurableHTTPProxy.pid_file = str(folder / "proxy.pid")
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.oauth_require_pkce = True
c.JupyterHub.spawner_class = GateSpawner
c.JupyterHub.allow_named_servers = True
c.JupyterHub.db_url = f"sqlite:///{folder / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(folder / "cookie-secret")
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.JupyterHub.custom_scopes = workspace_scopes()
c.Spawner.server_token_scopes = server_token_scopes()
c.Spawner.http_timeout = 60
c.JupyterHub.extra_handlers = log_handlers()
c.JupyterHub.services = [{"name": "tester", "api_token": os.environ["TEST_HUB_TOKEN"]}]
c.JupyterHub.load_roles = [
    {
        "name": "tester",
        "services": ["tester"],
        "scopes": [
            *("admin:users", "admin:servers", "list:users", "tokens", "shares", "read:hub"),
            *workspace_scopes(),
        ],
    }
]
