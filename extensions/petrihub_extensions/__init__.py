"""PetriHub inside the workspace: the apps of this workspace, their state, and the way to them."""

from typing import Any

__version__ = "0.1.0"


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from petrihub_extensions.app import PetriHubExtension

    return [{"module": "petrihub_extensions", "app": PetriHubExtension}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "@petrihub/lab"}]
