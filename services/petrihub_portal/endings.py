"""Ending what a deactivated person still holds at the hub, now or as soon as the hub answers.

The deactivation itself is in our table and counts at once: the portal refuses at the next request,
the hub within its refresh age. What is left are cookies, tokens and running workspaces; `Person.
sessions_to_end` says that they are still to be ended, whoever was to do it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import select, update

from petrihub_core.beside import beside
from petrihub_core.errors import PetriHubError
from petrihub_core.logs import get_logger
from petrihub_core.records import Person
from petrihub_portal import sharing
from petrihub_portal.context import Portal
from petrihub_portal.hub_groups import repair

log = get_logger(__name__)

ROUND_SECONDS = 15.0
_REPAIR_EVERY = 20  # rounds


async def end(portal: Portal, person_id: str, name: str, by: str) -> bool:
    """End everything of this person at the hub; False if that must wait for a later round."""
    try:
        await portal.hub.call("POST", "petrihub", "people", name, "end")
        portal.hub.forget(name)
        await sharing.end_all_of(portal, person_id, by)
    except PetriHubError as exc:
        log.warning("sessions are ended later", name=name, cause=exc.message)
        return False
    async with portal.database.session() as session:
        await session.execute(
            update(Person).where(Person.id == person_id).values(sessions_to_end=False)
        )
    return True


async def finish(portal: Portal) -> int:
    """End what could not be ended when it was asked for; how many people that were."""
    async with portal.database.reading() as session:
        rows = await session.execute(
            select(Person.id, Person.username).where(Person.sessions_to_end)
        )
        waiting = list(rows)
    done = [await end(portal, person_id, name, "petrihub") for person_id, name in waiting]
    return sum(done)


@asynccontextmanager
async def people_kept(portal: Portal) -> AsyncIterator[None]:
    """While the block runs, endings are finished and the hub's groups are kept in step."""
    async with beside(_rounds(portal)):
        yield


async def _rounds(portal: Portal) -> None:
    number = 0
    while True:
        await asyncio.sleep(ROUND_SECONDS)
        try:
            await finish(portal)
            if number % _REPAIR_EVERY == 0:
                await repair(portal)
        except Exception:  # the next round must come, whatever this one met
            log.exception("a round for people and groups failed")
        number += 1
