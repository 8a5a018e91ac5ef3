"""The parts of PetriHub that run in a process of their own.

Each in a container (see deploy/compose), or started by the hub on one machine.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import NoReturn

from petrihub_cli.product import HUB_CONFIG, NODE, proxy_command
from petrihub_cli.state import CONFIG_NAME, find_state, hub_address, inner_ports, keys, portal_ports
from petrihub_core.database import state_of_tables
from petrihub_core.deployment import (
    CONFIG_VARIABLE,
    NUMBER_VARIABLE,
    Deployment,
    read_deployment,
)
from petrihub_core.errors import Refused, Unavailable
from petrihub_core.host_names import NAMES_VARIABLE, HostNames
from petrihub_core.lease import fence
from petrihub_core.logs import get_logger

log = get_logger(__name__)

_PROXY = Path("/opt/petrihub-proxy/node_modules/configurable-http-proxy")  # images/platform
_POLL_SECONDS = 1.0


def run_hub(state: Path) -> NoReturn:
    """Become the hub of the deployment in `state`."""
    find_state(state)  # what is wrong with the file is said here, without a traceback
    environment = {**os.environ, CONFIG_VARIABLE: str((state / CONFIG_NAME).resolve())}
    command = [sys.executable, "-m", "jupyterhub", "--config", str(HUB_CONFIG)]
    os.chdir(state)
    os.execve(sys.executable, command, environment)  # noqa: S606 - it takes the place of this one


def run_proxy(state: Path) -> NoReturn:
    """Become the routing proxy; what it does not know it asks the hub, so for a page of ours."""
    deployment = find_state(state)
    ports = inner_ports(deployment)
    host, port = deployment.proxy_address
    hub = f"http://{hub_address(deployment)}"
    command = [
        *proxy_command(_PROXY / "bin"),
        *("--ip", host, "--port", str(port)),
        *("--api-ip", "127.0.0.1", "--api-port", str(ports["proxy_api"])),
        *("--default-target", hub, "--error-target", f"{hub}/hub/error"),
        *("--log-level", "warn"),
        *(["--host-routing"] if deployment.front.origins else []),
    ]
    environment = {
        "PATH": os.environ["PATH"],
        "CONFIGPROXY_AUTH_TOKEN": keys(deployment)["proxy_token"],
        NAMES_VARIABLE: HostNames(deployment).for_the_proxy(),
    }
    os.execve(NODE, command, environment)  # noqa: S606 - it takes the place of this one


def run_portal(state: Path, replica: int) -> None:
    """Serve as the portal's replica with this number, counted from 1."""
    from petrihub_portal.serve import serve

    deployment = find_state(state)
    ports = portal_ports(deployment)
    if not 1 <= replica <= len(ports):
        raise Refused(f"There is no replica {replica}.", hint=f"There are {len(ports)}.")
    asyncio.run(_tables(deployment))
    api_url = f"http://{hub_address(deployment)}/hub/api"
    serve(deployment, keys(deployment), ports[replica - 1], api_url=api_url)


def run_portal_beside(state: Path, port: int | None) -> None:
    """Serve as the one portal beside the hub, which names the deployment when it starts this."""
    from petrihub_portal.serve import serve

    deployment = read_deployment() if CONFIG_VARIABLE in os.environ else find_state(state)
    serve(deployment, keys(deployment), port)


async def run_reconciler() -> None:
    """Reconcile for ever beside the hub, as long as the hub holds the lease."""
    from petrihub_cli.engine_look import looks_at_engine
    from petrihub_spawner.reconcile import run_forever

    if number := int(os.environ.get(NUMBER_VARIABLE, "0")):
        fence(number)
    deployment = read_deployment()
    async with looks_at_engine(deployment):
        await run_forever(deployment)


async def _tables(deployment: Deployment) -> None:
    """Wait until the hub has brought the tables to this version."""
    said = False
    while True:
        try:
            if await state_of_tables(deployment.portal_database_url) == "current":
                return
        except Unavailable:
            pass  # the database is not up yet
        if not said:
            log.info("waiting for the hub to bring the database up to date")
            said = True
        await asyncio.sleep(_POLL_SECONDS)
