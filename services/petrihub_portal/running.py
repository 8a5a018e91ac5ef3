"""Everybody's running workspaces, and how an administrator stops them."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit, feed
from petrihub_core.errors import NotFound, PetriHubError, Refused
from petrihub_core.intents import START
from petrihub_core.people import by_username
from petrihub_core.records import IntentRow, Person
from petrihub_core.roles import Actor, Permission
from petrihub_portal.context import Portal

MOST_AT_ONCE = 200  # workspaces that one request stops
LONGEST_REASON = 300
SORTS = ("owner", "workspace", "profile", "size", "started", "last_activity")
_NAME = re.compile(r"[a-z0-9._-]{1,64}")
_PAGE = 200  # what the hub gives at most at once
_STOPS_AT_ONCE = 5
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Running:
    """One workspace that runs, starts or stops. `pending` is spawn, stop, check or empty."""

    owner: str
    name: str
    profile: str
    size: str
    started: datetime | None
    last_activity: datetime | None
    pending: str

    @property
    def key(self) -> str:
        """Which one is meant in forms: "<owner>/<name>"; neither part has a slash."""
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """What became of one stop; `problem` is empty if the hub took it."""

    owner: str
    name: str
    problem: str


async def all_running(portal: Portal) -> list[Running]:
    """Every active workspace, by owner and name: one question to the hub for 200 people."""
    found: list[Running] = []
    offset = 0
    while True:
        people = await portal.hub.call("GET", "users", state="active", limit=_PAGE, offset=offset)
        for person in people:
            servers = (person.get("servers") or {}).values()
            found.extend(_running(person["name"], server) for server in servers)
        if len(people) < _PAGE:
            return sorted(found, key=lambda each: each.key)
        offset += _PAGE


def _running(owner: str, model: dict[str, Any]) -> Running:
    options = model.get("user_options") or {}
    return Running(
        owner=owner,
        name=model["name"],
        profile=str(options.get("profile") or ""),
        size=str(options.get("size") or ""),
        started=_moment(model.get("started")),
        last_activity=_moment(model.get("last_activity")),
        pending=model.get("pending") or "",
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def chosen(
    running: Iterable[Running], *, search: str = "", sort: str = "owner", descending: bool = False
) -> list[Running]:
    """Those whose owner, name, profile or size contains `search`, in the order asked for."""
    if sort not in SORTS:
        raise Refused("They cannot be sorted by this.", hint=f"Choose one of: {', '.join(SORTS)}.")
    wanted = search.strip().casefold()
    kept = [
        each
        for each in running
        if not wanted
        or any(
            wanted in part.casefold() for part in (each.owner, each.name, each.profile, each.size)
        )
    ]
    field = "name" if sort == "workspace" else sort
    if field in ("started", "last_activity"):
        return sorted(
            kept,
            key=lambda each: (getattr(each, field) or _LONG_AGO, each.key),
            reverse=descending,
        )
    return sorted(kept, key=lambda each: (str(getattr(each, field)), each.key), reverse=descending)


async def stop(
    portal: Portal, actor: Actor, wanted: Sequence[tuple[str, str]], reason: str
) -> list[Stopped]:
    """Stop these workspaces (owner, name); each has its audit row, and its owner is told.

    Raises `Refused` for too many at once or too long a reason; what the hub does not take is in
    the answer.
    """
    actor.require(Permission.WORKSPACES_STOP)
    reason = " ".join(reason.split())
    if len(reason) > LONGEST_REASON or not reason.isprintable():
        raise Refused(f"The reason has at most {LONGEST_REASON} characters.", hint="Say less.")
    if not wanted:
        raise Refused("No workspace is chosen.", hint="Tick those that shall stop.")
    for part in (part for pair in wanted for part in pair):
        if not _NAME.fullmatch(part):
            raise Refused("This names no workspace.", hint="Reload the list, then choose again.")
    if len(wanted) > MOST_AT_ONCE:
        raise Refused(f"At most {MOST_AT_ONCE} workspaces are stopped at once.")
    turn = asyncio.Semaphore(_STOPS_AT_ONCE)

    async def one(owner: str, name: str) -> Stopped:
        async with turn:
            return await _stop_one(portal, actor, owner, name, reason)

    return list(await asyncio.gather(*(one(owner, name) for owner, name in dict.fromkeys(wanted))))


async def _stop_one(portal: Portal, actor: Actor, owner: str, name: str, reason: str) -> Stopped:
    problem = ""
    try:
        await _require_active(portal, owner, name)
        await portal.hub.stop(owner, name)
    except PetriHubError as exc:
        problem = exc.jupyterhub_message
    async with portal.database.session() as session:
        await audit.record(
            session,
            actor=actor.name,
            action="workspace.stopped",
            target=f"{owner}/{name}",
            outcome="failed" if problem else "ok",
            detail={"reason": reason, **({"problem": problem} if problem else {})},
        )
        person = None if problem else await by_username(session, owner)
        if person is not None and person.id != actor.person_id:
            await feed.tell(session, person.id, _line(actor, name, reason))
    return Stopped(owner=owner, name=name, problem=problem)


async def _require_active(portal: Portal, owner: str, name: str) -> None:
    model = await portal.hub.call("GET", "users", owner)
    # the hub lists only active ones here; asked to stop another, it would say that all is well
    if name not in (model.get("servers") or {}):
        raise NotFound("This workspace does not run.", hint="Look at the list again.")


def _line(actor: Actor, name: str, reason: str) -> feed.Line:
    why = f"The reason: {reason}" if reason else "No reason was given."
    return feed.Line(
        kind=feed.Kind.STOPPING,
        title=f"An administrator stopped {name}",
        text=f"{actor.name} stopped your workspace. {why} Your files are kept.",
        link="/services/portal/",
        link_title="Start it again",
    )


@dataclass(frozen=True, kw_only=True)
class Reserved:
    """What the running workspaces may use in sum; `unknown` are those of which no plan is kept."""

    cpu: float
    memory_bytes: int
    workspaces: int
    unknown: int


async def reserved(session: AsyncSession, running: Sequence[Running]) -> Reserved:
    """The sum of the sizes with which the running workspaces were started."""
    names = sorted({each.owner for each in running})
    people = await session.execute(
        select(Person.username, Person.id).where(Person.username.in_(names))
    )
    ids: dict[str, str] = {username: person_id for username, person_id in people}  # noqa: C416
    keys = {f"{ids[each.owner]}/{each.name}" for each in running if each.owner in ids}
    newest = (
        select(IntentRow.workspace, func.max(IntentRow.started_at).label("at"))
        .where(IntentRow.kind == START, IntentRow.workspace.in_(keys))
        .group_by(IntentRow.workspace)
        .subquery()
    )
    plans = await session.execute(
        select(IntentRow.workspace, IntentRow.plan).join(
            newest,
            (newest.c.workspace == IntentRow.workspace) & (newest.c.at == IntentRow.started_at),
        )
    )
    limits: dict[str, tuple[float, int]] = {}
    for workspace, plan in plans:
        resources = (plan.get("main") or {}).get("resources") or {}
        if resources:
            limits[workspace] = (float(resources["cpu"]), int(resources["memory_bytes"]))
    return Reserved(
        cpu=sum(cpu for cpu, _ in limits.values()),
        memory_bytes=sum(memory for _, memory in limits.values()),
        workspaces=len(running),
        unknown=len(running) - len(limits),
    )
