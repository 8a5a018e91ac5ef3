"""What all spawners of one hub process share: deployment, database, intents."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from petrihub_core.database import Database
from petrihub_core.deployment import BOOT_VARIABLE, Deployment, read_deployment
from petrihub_core.intents import Intents
from petrihub_core.records import new_id

SHIPPED_APPS = Path(__file__).resolve().parents[2] / "catalog" / "apps"


@dataclass(frozen=True)
class Foundation:
    """One per process; connects to the database on first use."""

    deployment: Deployment
    database: Database
    intents: Intents


def lay(deployment: Deployment, boot: str) -> Foundation:
    """The foundation for `deployment` in this life of the hub."""
    database = Database.open(deployment.database_url)
    return Foundation(deployment, database, Intents(database, boot))


@lru_cache(maxsize=1)
def foundation() -> Foundation:
    """The hub process's foundation, from the configuration file that its environment names."""
    # jupyterhub_config.py sets the boot for the hub and for its reconciler; a hub that is run
    # without it has a boot that nobody shares, and then its reconciler waits for deadlines
    return lay(read_deployment(), os.environ.get(BOOT_VARIABLE) or new_id())
