"""A new key for the secrets that the settings keep."""

import asyncio

from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.settings.vault import Vault

_BY = "petrihub settings rotate-key"


async def rotate(deployment: Deployment) -> int:
    """How many secrets were sealed anew. Killed anywhere, all can be opened; it can run again."""
    vault = Vault(deployment.secrets / "settings_keys")
    async with Database.open(deployment.database_url) as database:
        await asyncio.to_thread(vault.add_key)
        async with database.session() as session:
            count = await vault.rotate(session, _BY)
        async with database.session() as session:
            await vault.drop_old_keys(session)
        return count
