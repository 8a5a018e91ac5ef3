"""Run the portal: as the hub's managed service, or as one of several replicas behind a front."""

import os
from urllib.parse import urlsplit

import uvicorn

from petrihub_core.database import Database
from petrihub_core.deployment import HUB_PROCESS_VARIABLE, Deployment
from petrihub_core.errors import ConfigError
from petrihub_core.hub_process import end_with
from petrihub_core.keep_alive import KEEP_ALIVE_S
from petrihub_core.logs import configure_logs
from petrihub_core.settings.vault import Vault
from petrihub_core.web import PORTAL_PREFIX, template_vars
from petrihub_core.web.live import Live
from petrihub_portal.app import make_app
from petrihub_portal.context import Portal
from petrihub_portal.doors import Doors
from petrihub_portal.hub import Hub
from petrihub_portal.origins import all_origins
from petrihub_portal.registration import CLIENT_ID
from petrihub_portal.render import Renderer
from petrihub_portal.sealing import Sealer

_HUB_PREFIX = "/hub/"


def make_portal(deployment: Deployment, keys: dict[str, str], api_url: str) -> Portal:
    """The portal of this deployment; `keys` are the state folder's, `api_url` is the hub's API."""
    cookie_key = keys["portal_cookie_key"]
    hub = Hub(api_url, keys["portal_token"], CLIENT_ID)
    return Portal(
        deployment=deployment,
        database=Database.open(deployment.portal_database_url),
        hub=hub,
        doors=Doors(hub, deployment),
        vault=Vault(deployment.secrets / "settings_keys"),
        sealer=Sealer(cookie_key),
        render=Renderer(
            PORTAL_PREFIX, _HUB_PREFIX, template_vars(deployment), all_origins(deployment)
        ),
        live=Live(deployment),
        prefix=PORTAL_PREFIX,
        hub_prefix=_HUB_PREFIX,
        cookie_key=cookie_key,
    )


def serve(
    deployment: Deployment, keys: dict[str, str], port: int | None, *, api_url: str = ""
) -> None:
    """Answer on loopback until asked to end.

    To a managed service the hub says where its API is, and where to listen.
    """
    configure_logs("portal")
    api_url = api_url or os.environ.get("JUPYTERHUB_API_URL", "")
    address = urlsplit(os.environ.get("JUPYTERHUB_SERVICE_URL", ""))
    chosen = port or address.port
    if not api_url or not chosen:
        raise ConfigError(
            "The portal needs JUPYTERHUB_API_URL and a port.",
            hint="`petrihub up` starts it; to run one by hand, give both.",
        )
    if port is None:
        end_with(int(os.environ[HUB_PROCESS_VARIABLE]))
    uvicorn.run(
        make_app(make_portal(deployment, keys, api_url)),
        host="127.0.0.1",
        port=chosen,
        log_config=None,
        access_log=False,
        proxy_headers=True,
        forwarded_allow_ips="127.0.0.1",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=5,
        ws="none",
    )
