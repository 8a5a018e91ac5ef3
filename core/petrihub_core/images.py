"""The images that workspaces may run, by digest."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.apps import AppDescriptor
from petrihub_core.checkpoint_records import BaseImage
from petrihub_core.records import Document, WorkspaceImage, now


async def allowed_images(session: AsyncSession) -> dict[str, WorkspaceImage]:
    """The allow-list, by name. What is not in it is never started."""
    rows = await session.scalars(select(WorkspaceImage).order_by(WorkspaceImage.name))
    return {row.name: row for row in rows}


async def started_as(session: AsyncSession) -> dict[str, Document]:
    """How containers of the images below checkpoints are started, by digest."""
    return {row.digest: row.started_as for row in await session.scalars(select(BaseImage))}


async def register_image(
    session: AsyncSession,
    *,
    name: str,
    digest: str,
    size_bytes: int,
    apps: list[AppDescriptor],
    labels: dict[str, str],
) -> None:
    """Put the image on the allow-list, in place of an earlier one of the same name."""
    row = await session.scalar(select(WorkspaceImage).where(WorkspaceImage.name == name))
    described = [app.model_dump(mode="json") for app in apps]
    if row is None:
        session.add(
            WorkspaceImage(
                name=name, digest=digest, size_bytes=size_bytes, apps=described, labels=labels
            )
        )
        return
    row.digest, row.size_bytes, row.apps, row.labels = digest, size_bytes, described, labels
    row.built_at = now()
