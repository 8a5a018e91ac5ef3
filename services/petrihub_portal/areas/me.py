"""Who I am here, and what I may do."""

from pydantic import BaseModel

from petrihub_core.roles import roles_of
from petrihub_portal.routing import Area, Open
from petrihub_portal.visit import CurrentVisit

area = Area("Me")


class Me(BaseModel):
    """The signed-in person."""

    name: str
    roles: list[str]
    permissions: list[str]


@area.api("GET", "/me", needs=Open.SIGNED_IN)
async def me(visit: CurrentVisit) -> Me:
    """Who I am; `permissions` are what this request may use, so a token's scopes count."""
    async with visit.portal.database.reading() as session:
        roles = await roles_of(session, visit.me.id)
    return Me(name=visit.me.username, roles=roles, permissions=sorted(visit.actor.permissions))
