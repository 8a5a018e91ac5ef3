"""What every page may say: product version, and titles of profiles and sizes."""

from importlib.metadata import version
from typing import Any

from petrihub_core.deployment import Deployment
from petrihub_core.menu import Menu, menu_in_file

PORTAL_PREFIX = "/services/portal/"  # where the portal answers, on the hub's own address


def size_words(cpu: float, memory_gib: float) -> str:
    """A size in words, such as "2 CPU cores, 4 GiB memory"."""
    cores = "1 CPU core" if cpu == 1 else f"{cpu:g} CPU cores"
    return f"{cores}, {memory_gib:g} GiB memory"


def menu_titles(menu: Menu) -> tuple[dict[str, str], dict[str, str]]:
    """Titles of profiles and of sizes, by id."""
    profiles = {profile.id: profile.title for profile in menu.profiles}
    sizes = {
        size.id: f"{size.title} ({size_words(size.cpu, size.memory_gib)})" for size in menu.sizes
    }
    return profiles, sizes


def template_vars(deployment: Deployment) -> dict[str, Any]:
    """Values for `JupyterHub.template_vars`; all names begin with `ph_`.

    They are those of the start; `live` has what an administrator changed since.
    """
    profiles, sizes = menu_titles(menu_in_file(deployment))
    return {
        "ph_version": version("petrihub"),
        "ph_site": deployment.name,
        "ph_contact": "",
        "ph_logo": None,
        "ph_announcements": (),
        "ph_maintenance": None,
        "ph_disk_full": False,
        "portal": PORTAL_PREFIX,
        "ph_profiles": profiles,
        "ph_sizes": sizes,
    }
