"""How the hub knows the image service: as a process to keep running; it asks nothing of the hub."""

from typing import Any


def hub_service(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """The row for `JupyterHub.services`. Without an address: browsers have no way to it."""
    return {
        "name": "petrihub-images",
        "command": command,
        "environment": environment,
        "display": False,
    }
