"""The image server of a production installation: a container's command."""

import asyncio
import signal
import socket
from contextlib import suppress
from urllib.parse import urlsplit

from petrihub_cli.image_server import prepare, registry_and_front
from petrihub_core.deployment import Deployment
from petrihub_core.image_server import require_image_server

_LOOK_SECONDS = 1.0


async def run_image_server(deployment: Deployment) -> None:
    """Run registry and front, where `petrihub init` said, until asked to end."""
    work = asyncio.ensure_future(_run(deployment))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    with suppress(asyncio.CancelledError):
        await work


async def _run(deployment: Deployment) -> None:
    server = require_image_server(deployment)
    registry, front = registry_and_front(deployment, server)
    await asyncio.to_thread(prepare, deployment, server, registry, front)
    try:
        await registry.start()
        # on the first start the hub has still to make the network of this address
        while not _is_ours(str(urlsplit(server.pods).hostname)):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
        await front.start()
        await asyncio.Event().wait()
    finally:
        await front.stop()
        await registry.stop()


def _is_ours(address: str) -> bool:
    """Whether an interface of this machine has the address."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
