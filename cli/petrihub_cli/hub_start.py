"""What the hub does before it is one: takes its lease, brings the databases up to date.

Where the parts run apart nobody else does it; `petrihub up` has done the rest by itself.
"""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jupyterhub import orm
from pydantic import TypeAdapter
from sqlalchemy import event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from petrihub_cli.front import caddy_config
from petrihub_cli.front_process import front_of
from petrihub_cli.images.build import PROFILE_LABEL
from petrihub_cli.images.recipe import PREFIX
from petrihub_cli.images.registration import register
from petrihub_cli.state import write_privately
from petrihub_cli.upgrade import bring_up_to_date
from petrihub_core.apps import APPS_LABEL, AppDescriptor
from petrihub_core.deployment import Deployment
from petrihub_core.full_disk import is_full
from petrihub_core.lease import Lease, end_at_once
from petrihub_core.logs import get_logger
from petrihub_portal.certificate_store import CertificateStore

log = get_logger(__name__)

_LATEST = ":latest"
_APPS = TypeAdapter(tuple[AppDescriptor, ...])


def begin(deployment: Deployment) -> int:
    """Become the hub at work and put in place what it needs; the number of its lease, 0 on SQLite.

    Blocks; for the hub's configuration. Raises errors of ours, in words, if it may not or cannot.
    """
    number = _take_lease(deployment)
    if deployment.parts == "apart":
        # the hub's own loop is running already
        with ThreadPoolExecutor(1) as apart:
            apart.submit(asyncio.run, _prepare(deployment)).result()
    return number


def hub_database_arguments(deployment: Deployment) -> dict[str, Any]:
    """For SQLAlchemy's engine of JupyterHub's own tables."""
    if make_url(deployment.hub_database_url).get_backend_name() != "postgresql":
        return {}
    # its calls block the hub's loop: a server that hangs must not do that for long
    limits = "-c statement_timeout=20s -c lock_timeout=10s"
    return {"connect_args": {"connect_timeout": 5, "options": limits}}


def go_on_when_full(url: str, sessions: Any = Session) -> None:
    """Let the hub answer whom it knows while the disk of its database at `url` is full.

    It notes when somebody was last active while it looks who asks, and whoever cannot be noted it
    takes for a stranger. So that alone is left out then.
    """

    def leave_activity_out(session: Session, *_: object) -> None:
        if is_full(url):
            for row in session.dirty:
                if isinstance(row, orm.Base) and "last_activity" in inspect(row).mapper.attrs:
                    set_committed_value(row, "last_activity", row.last_activity)

    event.listen(sessions, "before_flush", leave_activity_out)


def _take_lease(deployment: Deployment) -> int:
    addresses = [deployment.database_url, deployment.hub_database_url]
    if any(make_url(each).get_backend_name() != "postgresql" for each in addresses):
        return 0
    lease = Lease(addresses, end_at_once)
    lease.take()
    lease.keep()
    return lease.number


async def _prepare(deployment: Deployment) -> None:
    await bring_up_to_date(deployment, log.info)
    if deployment.backend == "docker":
        await _allow_images(deployment)
    if deployment.front.kind != "none":
        await _prepare_front(deployment)


async def _allow_images(deployment: Deployment) -> None:
    """Let workspaces run what `petrihub images build` has put on the engine."""
    # the Docker client is an optional dependency
    from petrihub_spawner.backends.engine import ASK_WITHIN, Engine

    engine = Engine(deployment.docker.socket)
    listed = engine.call(ASK_WITHIN, "images", filters={"label": PROFILE_LABEL})
    for image in listed:
        for tag in image["RepoTags"] or []:
            if tag.startswith(PREFIX) and tag.endswith(_LATEST):
                await register(
                    deployment,
                    name=tag.removesuffix(_LATEST),
                    digest=image["Id"],
                    size_bytes=image["Size"],
                    apps=_APPS.validate_json(image["Labels"].get(APPS_LABEL, "[]")),
                    labels=image["Labels"],
                )


async def _prepare_front(deployment: Deployment) -> None:
    """A certificate and the front's configuration; the front itself is another's to start."""
    store = CertificateStore.of(deployment)
    try:
        await store.ensure()
    finally:
        await store.close()
    config = deployment.certificate_file.with_name("caddy.json")
    write_privately(config, json.dumps(caddy_config(front_of(deployment))))
