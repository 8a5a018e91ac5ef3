"""Counts what is in the places where people keep files: slowly, one after the other.

A place is counted when it is new, some minutes after somebody could have written there, and once
a day. What the meters run reads a folder that somebody else fills, and has no rights of its own.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import ValidationError
from sqlalchemy import select

from petrihub_core.carriers import S3, SFTP
from petrihub_core.deployment import Deployment
from petrihub_core.errors import PetriHubError, Unavailable
from petrihub_core.logs import get_logger
from petrihub_core.places import Counted, Key, every_place, note_counted
from petrihub_core.records import now
from petrihub_core.storage_records import StorageUsage
from petrihub_spawner.foundation import Foundation

EVERY = timedelta(minutes=15)  # between two counts of a place that is in use
_ANYWAY = timedelta(days=1)
_LOOK_EVERY = 60  # seconds
WITHIN = 180  # seconds for one place; the counter itself ends before

log = get_logger(__name__)


def answered(text: str, problem: str = "") -> Counted:
    """The counter's answer; raises `Unavailable` with the problem if it is none."""
    try:
        return Counted.model_validate_json(text)
    except ValidationError as exc:
        raise Unavailable(f"Nothing was counted. {problem}".strip()) from exc


class Meter(Protocol):
    """How a backend counts."""

    async def places(self) -> dict[str, bool]:
        """The places that there are, by outside name; whether somebody can write there now."""

    async def count(self, place: str) -> Counted:
        """What is in this place; raises `PetriHubError` if that cannot be told."""


@dataclass
class Counting:
    """Keeps the table in step with the disk."""

    foundation: Foundation
    meter: Meter
    _tried: dict[str, datetime] = field(default_factory=dict)

    async def round(self) -> list[str]:
        """Count what is due; the outside names of what was counted."""
        found = await self.meter.places()
        async with self.foundation.database.session() as session:
            known = await every_place(session, self.foundation.deployment.id)
            rows = {
                (row.kind, row.subject): row for row in await session.scalars(select(StorageUsage))
            }
            there = {known[place] for place in found if place in known}
            for key, row in rows.items():
                # somebody removed the files themselves; where there is nothing at all, it is
                # rather that we look at the wrong place
                if found and key not in there:
                    await session.delete(row)
            due = []
            for place in sorted(known.keys() & found.keys()):
                seen = rows.get(known[place])
                if seen is not None and found[place]:
                    seen.in_use = True
                if self._is_due(place, seen):
                    due.append(place)
        counted = []
        for place in due:
            if await self._count(place, known[place], in_use=found[place]):
                counted.append(place)
        return counted

    def _is_due(self, place: str, row: StorageUsage | None) -> bool:
        if self._tried.get(place, now() - EVERY) > now() - EVERY:
            return False
        if row is None or row.counted_at is None:
            return True
        age = now() - row.counted_at
        return age >= _ANYWAY or (row.in_use and age >= EVERY)

    async def _count(self, place: str, key: Key, *, in_use: bool) -> bool:
        self._tried[place] = now()
        try:
            async with asyncio.timeout(WITHIN):
                counted = await self.meter.count(place)
        except (PetriHubError, TimeoutError) as exc:
            log.warning("not counted", place=place, reason=str(exc) or "It took too long.")
            return False
        async with self.foundation.database.session() as session:
            await note_counted(session, key, counted, in_use=in_use)
        return True


def make_meter(foundation: Foundation) -> Meter:
    """The meter that the deployment's backend needs; connects to nothing yet."""
    deployment: Deployment = foundation.deployment
    if deployment.backend == "docker":
        # the Docker client is an optional dependency
        if deployment.storage.carrier == S3:
            from petrihub_spawner.backends.bucket_meter import BucketMeter

            return BucketMeter(deployment, foundation.database)
        from petrihub_spawner.backends.docker_meter import DockerMeter

        return DockerMeter(deployment, foundation.database)
    from petrihub_spawner.backends.local_meter import LocalMeter

    return LocalMeter(deployment)


async def count_forever(foundation: Foundation) -> None:
    """A round every minute; a file server counts what it has by itself."""
    if foundation.deployment.storage.carrier == SFTP:
        return
    counting = Counting(foundation, make_meter(foundation))
    while True:
        try:
            for place in await counting.round():
                log.info("counted", place=place)
        except PetriHubError as exc:
            log.warning("nothing is counted", reason=exc.message)
        except Exception:  # the next round must come, whatever this one met
            log.exception("a round of counting failed")
        await asyncio.sleep(_LOOK_EVERY)
