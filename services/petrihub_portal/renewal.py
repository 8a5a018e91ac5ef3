"""The portal's own task for the certificate: the front's file up to date, renewal in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import SQLAlchemyError

from petrihub_core.beside import beside
from petrihub_core.errors import PetriHubError
from petrihub_core.logs import get_logger
from petrihub_core.records import new_id
from petrihub_portal.certificate_store import CertificateStore
from petrihub_portal.context import Portal
from petrihub_portal.ordering import renew_if_due

log = get_logger(__name__)

_FILE_SECONDS = 60.0  # another machine's replica may have changed the certificate
_LOOKS_PER_RENEWAL = 30  # so a failed renewal is tried again after half an hour


@asynccontextmanager
async def certificate_kept(portal: Portal) -> AsyncIterator[None]:
    """The task runs within the block, if there is a front; every replica has one."""
    if portal.deployment.front.kind == "none":
        yield
        return
    async with beside(_keep(portal)):
        yield


async def _keep(portal: Portal) -> None:
    """Until cancelled; of several replicas the database decides whose turn it is."""
    store = CertificateStore(portal.deployment, portal.database, portal.vault)
    holder = new_id()
    look = 0
    while True:
        try:
            await store.ensure()
            if look % _LOOKS_PER_RENEWAL == 0:
                await renew_if_due(store, portal.vault, holder)
        except (PetriHubError, SQLAlchemyError, OSError):
            log.exception("the certificate cannot be looked after now")
        look += 1
        await asyncio.sleep(_FILE_SECONDS)
