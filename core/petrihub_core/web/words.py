"""What every page may say: product version, and titles of profiles and sizes."""

from importlib.metadata import version
from typing import Any

from petrihub_core.deployment import Deployment

PORTAL_PREFIX = "/services/portal/"  # where the portal answers, on the hub's own address


def size_words(cpu: float, memory_gib: float) -> str:
    """A size in words, such as "2 CPU cores, 4 GiB memory"."""
    cores = "1 CPU core" if cpu == 1 else f"{cpu:g} CPU cores"
    return f"{cores}, {memory_gib:g} GiB memory"


def template_vars(deployment: Deployment) -> dict[str, Any]:
    """Values for `JupyterHub.template_vars`; all names begin with `ph_`."""
    return {
        "ph_version": version("petrihub"),
        "ph_site": deployment.name,
        "portal": PORTAL_PREFIX,
        "ph_profiles": {profile.id: profile.title for profile in deployment.profiles},
        "ph_sizes": {
            size.id: f"{size.title} ({size_words(size.cpu, size.memory_gib)})"
            for size in deployment.sizes
        },
    }
