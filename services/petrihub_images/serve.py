"""Run the image service: started by the hub, on loopback, behind the registry's front."""

import os
from urllib.parse import urlsplit

import uvicorn

from petrihub_core.database import Database
from petrihub_core.deployment import HUB_PROCESS_VARIABLE, Deployment
from petrihub_core.hub_process import end_with
from petrihub_core.image_server import require_image_server
from petrihub_core.keep_alive import KEEP_ALIVE_S
from petrihub_core.logs import configure_logs
from petrihub_images.app import make_app
from petrihub_images.bases import Bases
from petrihub_images.context import ImageService
from petrihub_images.registry import Registry
from petrihub_images.sweep import Sweeper
from petrihub_spawner.backends.engine import Engine


def make_service(deployment: Deployment) -> ImageService:
    """The service of this deployment; raises `Unavailable` where there is no image server."""
    database = Database.open(deployment.portal_database_url)
    registry = Registry(deployment, require_image_server(deployment).registry)
    engine = Engine(deployment.docker.socket)
    return ImageService(
        deployment=deployment,
        database=database,
        registry=registry,
        bases=Bases(deployment, database, registry, engine),
        sweeper=Sweeper(deployment, database, registry),
    )


def serve(deployment: Deployment) -> None:
    """Answer until asked to end, or until the hub that started this process is gone."""
    configure_logs("images")
    address = urlsplit(require_image_server(deployment).service)
    end_with(int(os.environ[HUB_PROCESS_VARIABLE]))
    uvicorn.run(
        make_app(make_service(deployment)),
        host=str(address.hostname),
        port=address.port or 0,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=5,
        ws="none",
    )
