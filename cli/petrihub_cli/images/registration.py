"""Puts a built image on a deployment's allow-list: the one place that does."""

from petrihub_core.apps import AppDescriptor
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.images import allowed_images, register_image


async def register(
    deployment: Deployment,
    *,
    name: str,
    digest: str,
    size_bytes: int,
    apps: tuple[AppDescriptor, ...],
    labels: dict[str, str],
) -> None:
    """Let workspaces of this deployment run the image; nothing changes if they already do."""
    async with Database.open(deployment.database_url) as database, database.session() as session:
        known = (await allowed_images(session)).get(name)
        if known is not None and (known.digest, known.labels) == (digest, labels):
            return
        await register_image(
            session,
            name=name,
            digest=digest,
            size_bytes=size_bytes,
            apps=list(apps),
            labels=labels,
        )


async def registered_digests(deployment: Deployment) -> dict[str, str]:
    """The digests that this deployment's workspaces may run, by image name."""
    async with Database.open(deployment.database_url) as database, database.session() as session:
        return {name: row.digest for name, row in (await allowed_images(session)).items()}
