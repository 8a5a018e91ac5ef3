"""The only wiring file: reads the deployment, names the spawner, the authenticator, the services.

JupyterHub runs it at start; everything that an operator sets stands in `petrihub.toml`.
"""

import os
import sys

from petrihub_authenticators.door import may_administer
from petrihub_authenticators.door import template_paths as sign_in_templates
from petrihub_cli.hub_start import begin, go_on_when_full, hub_database_arguments
from petrihub_cli.product import proxy_command
from petrihub_cli.state import inner_ports, keys
from petrihub_core.deployment import (
    BOOT_VARIABLE,
    CONFIG_VARIABLE,
    HUB_PROCESS_VARIABLE,
    NUMBER_VARIABLE,
    read_deployment,
)
from petrihub_core.errors import PetriHubError
from petrihub_core.host_names import NAMES_VARIABLE, HostNames
from petrihub_core.image_server import find_image_server
from petrihub_core.logs import configure_logs
from petrihub_core.records import new_id
from petrihub_core.web import PORTAL_PREFIX, static_handlers, template_vars
from petrihub_core.web import template_paths as frame_templates
from petrihub_core.web.live import Live
from petrihub_images.registration import hub_service as images_service
from petrihub_portal.origins import subdomain_hook
from petrihub_portal.registration import (
    custom_scopes,
    hub_roles,
    hub_service,
    outer_service,
    server_token_scopes,
    workspace_scopes,
)
from petrihub_portal.tool_log import log_handlers
from petrihub_spawner.circumstances import workspaces_limit
from petrihub_spawner.titles import hub_handlers

c = get_config()  # given by JupyterHub

deployment = read_deployment()
secret = keys(deployment)
ports = inner_ports(deployment)
# one life of the hub process: intents of an earlier life are nobody's work in progress
boot = os.environ[BOOT_VARIABLE] = new_id()
configure_logs("hub")
try:
    hub_number = begin(deployment)
except PetriHubError as exc:
    sys.exit(exc.jupyterhub_message)

# -- addresses: browsers reach the proxy, workspaces reach the hub, nobody else reaches its API
c.JupyterHub.bind_url = f"{deployment.proxy_url}/"
if deployment.front.kind != "none":
    c.JupyterHub.public_url = f"{deployment.public_url}/"  # links and cookies are for HTTPS
if deployment.front.origins:
    c.JupyterHub.subdomain_host = deployment.public_url
    c.JupyterHub.subdomain_hook = subdomain_hook
    # so that a page at somebody's own origin cannot set the hub's sign-in
    c.JupyterHub.cookie_host_prefix_enabled = True
if deployment.front.kind == "caddy" or deployment.parts == "apart":
    c.JupyterHub.trusted_downstream_ips = ["127.0.0.1"]  # it says who really asks
if deployment.front.kind != "none":
    c.JupyterHub.tornado_settings = {"xsrf_cookie_kwargs": {"secure": True}}
inner = "127.0.0.1"
if deployment.backend == "docker":
    from petrihub_spawner.backends.networks import ensure_hub_network

    inner = ensure_hub_network(deployment)
c.JupyterHub.hub_bind_url = f"http://{inner}:{ports['hub']}"
c.JupyterHub.proxy_class = "petrihub_spawner.routing_proxy.WorkspaceProxy"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{ports['proxy_api']}"
c.ConfigurableHTTPProxy.auth_token = secret["proxy_token"]
c.ConfigurableHTTPProxy.pid_file = str(deployment.state / "proxy.pid")
if deployment.parts == "apart":
    # kernels' connections go through the proxy: it stays when the hub restarts, and gets its
    # routes back soon after a restart of its own
    c.ConfigurableHTTPProxy.should_start = False
    c.JupyterHub.last_activity_interval = 10
c.ConfigurableHTTPProxy.command = proxy_command(
    deployment.state / "proxy/node_modules/configurable-http-proxy/bin"
)
os.environ[NAMES_VARIABLE] = HostNames(deployment).for_the_proxy()

# -- state
c.JupyterHub.db_url = deployment.hub_database_url
c.JupyterHub.db_kwargs = hub_database_arguments(deployment)
c.JupyterHub.upgrade_db = True
go_on_when_full(deployment.hub_database_url)
c.JupyterHub.cookie_secret_file = str(deployment.secrets / "cookie_secret")
c.JupyterHub.cleanup_servers = deployment.workspaces.stop_on_exit
# the parts' tokens are 32 random bytes: a slow hash adds nothing, and each question of the portal
# would keep the hub's loop busy with it for 10 ms
c.JupyterHub.trust_user_provided_tokens = True

# -- who may enter
c.JupyterHub.authenticator_class = "petrihub"
c.JupyterHub.oauth_require_pkce = True
c.Authenticator.auth_refresh_age = 60

# -- workspaces
c.JupyterHub.spawner_class = f"petrihub-{deployment.backend}"
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = workspaces_limit
c.JupyterHub.redirect_to_server = False
c.JupyterHub.concurrent_spawn_limit = 0  # ours queues them instead of refusing
c.Spawner.server_token_scopes = server_token_scopes()

# -- pages
c.JupyterHub.template_paths = [*sign_in_templates(), *frame_templates()]
c.JupyterHub.extra_handlers = [*static_handlers(), *hub_handlers(), *log_handlers()]
live = Live(deployment)
live.begin()
c.JupyterHub.template_vars = {
    **template_vars(deployment),
    **live.template_vars(),
    "ph_may_administer": may_administer,
}
c.JupyterHub.default_url = PORTAL_PREFIX

# -- helpers of ours
inherited = {
    BOOT_VARIABLE: boot,
    NUMBER_VARIABLE: str(hub_number),
    HUB_PROCESS_VARIABLE: str(os.getpid()),
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
    outer_service(secret["portal_token"])
    if deployment.parts == "apart"
    else hub_service(
        [sys.executable, "-m", "petrihub_cli.main", "portal"],
        ports["portal"],
        secret["portal_token"],
        inherited,
    ),
]
if find_image_server(deployment) is not None:
    c.JupyterHub.services.append(
        images_service([sys.executable, "-m", "petrihub_cli.main", "image-service"], inherited)
    )
c.JupyterHub.custom_scopes = {**custom_scopes(), **workspace_scopes()}
c.JupyterHub.load_roles = [
    *hub_roles(),
    {
        "name": "petrihub-reconciler",
        "description": "Sees every workspace's state, ends what nobody owns, ends restarts",
        "scopes": [
            "list:users",
            "read:servers",
            "admin:server_state",
            "delete:servers",
            "start:servers",
        ],
        "services": ["petrihub-reconciler"],
    },
]
