"""The only wiring file: reads the deployment, names the spawner, the authenticator, the services.

JupyterHub runs it at start; everything that an operator sets stands in `petrihub.toml`.
"""

import os
import sys

from petrihub_authenticators.door import may_administer
from petrihub_authenticators.door import template_paths as sign_in_templates
from petrihub_cli.product import NODE
from petrihub_cli.state import inner_ports, keys
from petrihub_core.deployment import BOOT_VARIABLE, CONFIG_VARIABLE, read_deployment
from petrihub_core.logs import configure_logs
from petrihub_core.records import new_id
from petrihub_core.web import PORTAL_PREFIX, static_handlers, template_vars
from petrihub_core.web import template_paths as frame_templates
from petrihub_portal.registration import custom_scopes, hub_roles, hub_service

c = get_config()  # given by JupyterHub

deployment = read_deployment()
secret = keys(deployment)
ports = inner_ports(deployment)
# one life of the hub process: intents of an earlier life are nobody's work in progress
boot = os.environ[BOOT_VARIABLE] = new_id()
configure_logs("hub")

# -- addresses: browsers reach the proxy, workspaces reach the hub, nobody else reaches its API
c.JupyterHub.bind_url = f"http://{deployment.address.host}:{deployment.address.port}/"
inner = "127.0.0.1"
if deployment.backend == "docker":
    from petrihub_spawner.backends.networks import ensure_hub_network

    inner = ensure_hub_network(deployment)
c.JupyterHub.hub_bind_url = f"http://{inner}:{ports['hub']}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{ports['proxy_api']}"
c.ConfigurableHTTPProxy.auth_token = secret["proxy_token"]
c.ConfigurableHTTPProxy.pid_file = str(deployment.state / "proxy.pid")
proxy = deployment.state / "proxy/node_modules/configurable-http-proxy/bin"
c.ConfigurableHTTPProxy.command = [str(NODE), str(proxy / "configurable-http-proxy")]

# -- state
c.JupyterHub.db_url = f"sqlite:///{deployment.state / 'jupyterhub.sqlite'}"
c.JupyterHub.upgrade_db = True
c.JupyterHub.cookie_secret_file = str(deployment.secrets / "cookie_secret")
c.JupyterHub.cleanup_servers = deployment.workspaces.stop_on_exit

# -- who may enter
c.JupyterHub.authenticator_class = "petrihub"
c.JupyterHub.oauth_require_pkce = True
c.Authenticator.auth_refresh_age = 60

# -- workspaces
c.JupyterHub.spawner_class = f"petrihub-{deployment.backend}"
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = deployment.workspaces.per_person
c.JupyterHub.redirect_to_server = False

# -- pages
c.JupyterHub.template_paths = [*sign_in_templates(), *frame_templates()]
c.JupyterHub.extra_handlers = static_handlers()
c.JupyterHub.template_vars = {
    **template_vars(deployment),
    "ph_may_administer": may_administer,
}
c.JupyterHub.default_url = PORTAL_PREFIX

# -- helpers of ours
inherited = {
    BOOT_VARIABLE: boot,
    CONFIG_VARIABLE: os.environ[CONFIG_VARIABLE],
    **{name: os.environ[name] for name in ("PATH", "DOCKER_HOST") if name in os.environ},
}
c.JupyterHub.services = [
    {
        "name": "petrihub-reconciler",
        "command": [sys.executable, "-m", "petrihub_cli.main", "reconcile"],
        "api_token": secret["reconciler_token"],
        "environment": inherited,
    },
    hub_service(
        [sys.executable, "-m", "petrihub_cli.main", "portal"],
        ports["portal"],
        secret["portal_token"],
        inherited,
    ),
]
c.JupyterHub.custom_scopes = custom_scopes()
c.JupyterHub.load_roles = [
    *hub_roles(),
    {
        "name": "petrihub-reconciler",
        "description": "Sees every workspace's state and ends what nobody owns",
        "scopes": ["list:users", "read:servers", "admin:server_state", "delete:servers"],
        "services": ["petrihub-reconciler"],
    },
]
