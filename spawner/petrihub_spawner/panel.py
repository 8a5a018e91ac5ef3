"""What JupyterLab is told of saving: where this workspace may ask for its checkpoints."""

from collections.abc import Mapping

from petrihub_core.image_server import ImageServer
from petrihub_core.records import WorkspaceImage
from petrihub_core.web import PORTAL_PREFIX
from petrihub_spawner.saving import checkpointers

PANEL_VARIABLE = "PETRIHUB_CHECKPOINTS_URL"


def panel_environment(
    server: ImageServer | None, images: Mapping[str, WorkspaceImage]
) -> dict[str, str]:
    """Variables of the main container; none where no helper saves it."""
    if server is None or not checkpointers(server, images):
        return {}
    return {PANEL_VARIABLE: f"{server.pods}{PORTAL_PREFIX}api/v1/workspace"}
