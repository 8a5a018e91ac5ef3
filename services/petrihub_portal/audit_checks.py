"""The check of the audit chain: in one go, or piece by piece while somebody looks on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from pydantic import BaseModel

from petrihub_core import audit, audit_heads
from petrihub_core.audit import Flaw, Place
from petrihub_core.audit_heads import HeadsFile
from petrihub_core.beside import beside
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Refused
from petrihub_portal.context import Portal

_PLACE = "audit-check"
_PLACE_SECONDS = 3600
_PIECE = 5000  # rows between two signs of life


class Report(BaseModel):
    """What a check found.

    `flawed` is the number of the first bad row, `why` what is wrong with it. `heads` is how many
    kept heads were compared. `clock_set_back` is a row that is clearly older than the one before.
    """

    rows: int
    heads: int
    flawed: int | None
    why: str
    clock_set_back: int | None


def heads_file(deployment: Deployment) -> HeadsFile:
    """Where this deployment keeps the heads of its chain."""
    return HeadsFile(deployment.state / "audit-heads.jsonl")


@asynccontextmanager
async def heads_kept(portal: Portal) -> AsyncIterator[None]:
    """Keep the heads of the chain outside the database for as long as the portal runs."""
    file = heads_file(portal.deployment)
    async with beside(audit_heads.keep_heads(portal.database, file)):
        yield


async def check_piece(portal: Portal, place: Place) -> tuple[Place | Report, int]:
    """Check some rows from `place` on: how far it came, or the report; and how many there are."""
    async with portal.database.reading() as session:
        reached = await audit.verify_step(session, place, _PIECE)
        total = (await audit.head(session)).seq
    if isinstance(reached, Flaw):
        return _report(place, reached, 0), total
    # rows that are written meanwhile would keep a check going for ever
    if reached != place and reached.seq < total:
        return reached, total
    heads = heads_file(portal.deployment).all()
    async with portal.database.reading() as session:
        return _report(reached, await audit_heads.check(session, heads), len(heads)), total


def _report(place: Place, flaw: Flaw | None, heads: int) -> Report:
    return Report(
        rows=place.seq,
        heads=heads,
        flawed=flaw.seq if flaw else None,
        why=flaw.why if flaw else "",
        clock_set_back=place.turned_back,
    )


async def check_all(portal: Portal, by: str) -> Report:
    """The whole check, noted in the trail itself."""
    place = Place()
    while True:
        reached, _ = await check_piece(portal, place)
        if isinstance(reached, Report):
            await note(portal, by, reached)
            return reached
        place = reached


async def note(portal: Portal, by: str, report: Report) -> None:
    """Write down that somebody checked, and what came out."""
    async with portal.database.session() as session:
        await audit.record(
            session,
            actor=by,
            action="audit.checked",
            target="audit",
            outcome="ok" if report.flawed is None else "failed",
            detail={"rows": report.rows, "flawed": report.flawed, "why": report.why},
        )


def sealed(portal: Portal, place: Place) -> str:
    """The place as text that only we can read: any replica goes on from it."""
    return portal.sealer.seal(
        _PLACE,
        {
            "seq": place.seq,
            "digest": place.digest,
            "at": place.at.isoformat() if place.at else "",
            "turned_back": place.turned_back,
        },
    )


def opened(portal: Portal, text: str) -> Place:
    """The place that was sealed; the beginning if there is none."""
    if not text:
        return Place()
    kept = portal.sealer.open(_PLACE, text, max_age_s=_PLACE_SECONDS)
    if kept is None:
        raise Refused("This check is too old to go on.", hint="Begin it again.")
    at = datetime.fromisoformat(kept["at"]) if kept["at"] else None
    return Place(kept["seq"], kept["digest"], at, kept["turned_back"])
