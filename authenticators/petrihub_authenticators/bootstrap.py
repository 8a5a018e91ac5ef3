"""What the command line needs before anybody can sign in: who holds the machine holds the door."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_authenticators import accounts, links
from petrihub_authenticators.links import Kind
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment


@asynccontextmanager
async def _session(deployment: Deployment) -> AsyncIterator[AsyncSession]:
    database = Database.open(deployment.database_url)
    try:
        async with database.session() as session:
            yield session
    finally:
        await database.close()


async def admin_exists(deployment: Deployment) -> bool:
    """Whether somebody can sign in as an administrator."""
    async with _session(deployment) as session:
        return await links.admin_exists(session)


async def first_admin_link(deployment: Deployment) -> str:
    """A new link for the first administrator (24 h, one use); earlier ones stop working.

    Raises `Conflict` when there is an administrator.
    """
    async with _session(deployment) as session:
        code = await links.make(session, Kind.FIRST_ADMIN, by=accounts.OPERATOR)
    return links.address_of(deployment.public_url, code)


async def reset_link(deployment: Deployment, name: str) -> str:
    """A new link with which `name` sets a password (one use); raises `NotFound` or `Conflict`."""
    async with _session(deployment) as session:
        code = await accounts.link_for(session, name, by=accounts.OPERATOR)
    return links.address_of(deployment.public_url, code)
