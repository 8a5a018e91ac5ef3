"""My workspaces: what the hub says of them, with what we wrote down: why, since when, what next."""

import asyncio
import re
import unicodedata
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.at_stop import all_kept
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import State as Order
from petrihub_core.errors import Conflict, NotFound, Refused, Unavailable
from petrihub_core.intents import ENDED, FAILED, GIVEN_UP, OPEN, RESTART, WAIT
from petrihub_core.menu import Menu, Offered, menu_of, offered_to
from petrihub_core.records import IntentRow, Person, now
from petrihub_core.web import size_words
from petrihub_portal.context import Portal
from petrihub_portal.open_apps import AppLink, AppsOfProfiles
from petrihub_spawner.titles import clean_title

PATIENCE = 2.0  # seconds to wait for the hub; then what was seen last counts
GLANCE = 0.5  # seconds that a whole page waits; the list in it is asked for again by itself
_MOST_REMEMBERED = 10_000
_LONGEST_NAME = 30


class State(StrEnum):
    """What a workspace is doing, as people would say it."""

    NEW = "new"  # named, never started
    WAITING = "waiting"  # for its turn to start
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    RESTARTING = "restarting"
    SAVING = "saving"  # it has stopped; what was changed in it is being saved
    UNSAVED = "waiting_to_save"  # likewise, but it cannot be saved now: `reason` says why
    STOPPED = "stopped"
    FAILED = "failed"  # its last start failed, or it ended by itself: `reason` says why


PENDING = frozenset({State.WAITING, State.STARTING, State.STOPPING, State.RESTARTING, State.SAVING})
_ASKS = "Files that look like keys or passwords would be saved. It waits for your answer."


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """One of my workspaces. Addresses begin with a slash or a scheme; times are UTC."""

    name: str
    title: str
    state: State
    reason: str
    profile: str
    size: str
    started: datetime | None
    last_activity: datetime | None
    url: str
    progress_url: str
    choose_url: str
    options: Mapping[str, Any]
    apps: tuple[AppLink, ...] = ()
    visits_url: str = ""  # where the gate of a running tool says who was there

    @property
    def pending(self) -> bool:
        """Whether it is between two states, so that looking again soon is worth it."""
        return self.state in PENDING


@dataclass(frozen=True, kw_only=True)
class Look:
    """My workspaces as they were at `at`; `fresh` says whether that is now."""

    workspaces: tuple[Workspace, ...]
    limit: int
    fresh: bool
    at: datetime

    @property
    def full(self) -> bool:
        """Whether there is no room for another one."""
        return len(self.workspaces) >= self.limit

    @property
    def pending(self) -> bool:
        """Whether one of them is between two states."""
        return any(each.pending for each in self.workspaces)

    def named(self, name: str) -> Workspace:
        """The one with this name; raises `NotFound`."""
        found = next((each for each in self.workspaces if each.name == name), None)
        if found is None:
            raise NotFound(
                "You have no such workspace.", hint="It may have been deleted. Reload the page."
            )
        return found


_seen: OrderedDict[str, Look] = OrderedDict()  # by person; for when the hub is busy
# what this process has asked the hub to do and the hub has not answered yet
acting: dict[str, State] = {}


async def look(portal: Portal, person: Person, patience: float = PATIENCE) -> Look:
    """My workspaces now, by title; if the hub does not answer in time, as they were last seen."""
    try:
        model = await asyncio.wait_for(_ask(portal, person), patience)
    except (Unavailable, TimeoutError):
        return await _as_last_seen(portal, person)
    async with portal.database.reading() as session:
        menu = await menu_of(session, portal.deployment)
        offered = await offered_to(session, portal.deployment, person.id)
        apps = await AppsOfProfiles.read(session, portal.deployment)
        servers = {name: each for name, each in (model.get("servers") or {}).items() if name}
        notes = await _notes(session, person, list(servers))
    found = [
        _workspace(portal, person, server, notes.get(name, _Note()), menu)
        for name, server in servers.items()
    ]
    found = [_with_apps(each, apps, menu, offered) for each in found]
    found.sort(key=lambda each: (each.title.casefold(), each.name))
    seen = Look(workspaces=tuple(found), limit=offered.workspaces_limit, fresh=True, at=now())
    _seen[person.id] = seen
    _seen.move_to_end(person.id)
    if len(_seen) > _MOST_REMEMBERED:
        _seen.popitem(last=False)
    return seen


async def _ask(portal: Portal, person: Person) -> dict[str, Any]:
    try:
        model: dict[str, Any] = await portal.hub.call(
            "GET", "users", person.username, include_stopped_servers="1"
        )
    except NotFound:
        return {}  # the hub makes its own row at the first sign-in
    return model


async def _as_last_seen(portal: Portal, person: Person) -> Look:
    known = _seen.get(person.id)
    if known is not None:
        return replace(known, fresh=False)
    async with portal.database.reading() as session:
        limit = (await offered_to(session, portal.deployment, person.id)).workspaces_limit
    return Look(workspaces=(), limit=limit, fresh=False, at=now())


@dataclass(frozen=True)
class _Note:
    """What we wrote down about one workspace."""

    failed: str = ""
    restarting: bool = False
    waiting: bool = False
    kept: Checkpoint | None = None


async def _notes(session: AsyncSession, person: Person, names: Sequence[str]) -> dict[str, _Note]:
    under_way = {
        (kind, workspace)
        for kind, workspace in await session.execute(
            select(IntentRow.kind, IntentRow.workspace).where(
                IntentRow.state == OPEN,
                IntentRow.kind.in_((RESTART, WAIT)),
                IntentRow.owner == person.id,
            )
        )
    }
    kept = {each.workspace: each for each in await all_kept(session, person.id)}
    notes = {}
    for name in names:
        key = key_of(person, name)
        newest = (
            await session.execute(
                select(IntentRow.kind, IntentRow.state, IntentRow.reason)
                .where(IntentRow.workspace == key, IntentRow.kind.not_in((RESTART, WAIT)))
                .order_by(IntentRow.started_at.desc())
                .limit(1)
            )
        ).first()
        failed = ""
        if newest is not None and newest.state == FAILED and newest.kind in ("start", ENDED):
            failed = "" if newest.reason == GIVEN_UP else newest.reason
        notes[name] = _Note(
            failed, (RESTART, key) in under_way, (WAIT, key) in under_way, kept.get(name)
        )
    return notes


def _workspace(
    portal: Portal, person: Person, server: Mapping[str, Any], note: _Note, menu: Menu
) -> Workspace:
    name = str(server["name"])
    options = server.get("user_options") or {}
    state = _state(server, note, acting.get(key_of(person, name)))
    profile = menu.profile(str(options.get("profile", "")))
    size = menu.size(str(options.get("size", "")))
    path = f"{quote(person.username, safe='')}/{quote(name, safe='')}"
    return Workspace(
        name=name,
        title=str(server.get("display_name") or name),
        state=state,
        reason=_reason(state, note),
        profile=profile.title if profile else str(options.get("profile", "")),
        size=f"{size.title} ({size_words(size.cpu, size.memory_gib)})"
        if size
        else str(options.get("size", "")),
        started=_time(server.get("started")) if state is State.RUNNING else None,
        last_activity=_time(server.get("last_activity")),
        url=str(server.get("url") or f"/user/{path}/"),
        progress_url=f"{portal.hub_prefix}spawn-pending/{path}",
        choose_url=f"{portal.hub_prefix}spawn/{path}",
        options=options,
    )


def _state(server: Mapping[str, Any], note: _Note, asked: State | None) -> State:
    pending = server.get("pending")
    if note.restarting:
        return State.RESTARTING
    if pending == "stop" or (asked is State.STOPPING and not server.get("stopped")):
        return State.STOPPING
    if pending == "spawn" or asked is State.STARTING:
        return State.WAITING if note.waiting else State.STARTING
    if server.get("ready") or pending:
        return State.RUNNING
    return _at_rest(server, note)


def _at_rest(server: Mapping[str, Any], note: _Note) -> State:
    if note.kept is not None:
        held = note.kept.state in (Order.WAITING, Order.CONFIRM)
        return State.UNSAVED if held else State.SAVING
    if note.failed:
        return State.FAILED
    return State.STOPPED if server.get("user_options") else State.NEW


def _reason(state: State, note: _Note) -> str:
    if state is State.FAILED:
        return note.failed
    if state is State.UNSAVED and note.kept is not None:
        why = _ASKS if note.kept.state == Order.CONFIRM else note.kept.reason
        return f"{why} What you changed is kept until it is saved."
    return ""


def _with_apps(each: Workspace, apps: AppsOfProfiles, menu: Menu, offered: Offered) -> Workspace:
    profile = menu.profile(str(each.options.get("profile", "")))
    if each.state is not State.RUNNING or profile is None:
        return each
    if apps.is_tool(profile):
        return replace(each, visits_url=f"{each.url}petrihub-gate/visits")
    allowed = (app for app in apps.of(profile) if not offered.app_refusal(app.id))
    return replace(each, apps=tuple(AppLink.to(app, each.url) for app in allowed))


def _time(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None


def key_of(person: Person, name: str) -> str:
    """The workspace as our records name it."""
    return f"{person.id}/{name}"


def new_name(seen: Look, typed: str) -> tuple[str, str]:
    """Title and address name for a new workspace; raises in words if `typed` gives none."""
    title = clean_title(typed)
    if not " ".join(typed.split()):
        raise Refused("Give the workspace a name, such as rna-study.")
    if not title:
        raise Refused("The name is too long, or has signs that cannot be shown.")
    plain = unicodedata.normalize("NFKD", title).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    plain = re.sub(r"[^a-z0-9]+", "-", plain)
    name = re.sub(r"^[^a-z]+", "", plain)[:_LONGEST_NAME].rstrip("-")
    if not name:
        raise Refused("The name needs at least one letter from a to z.")
    taken = next((each for each in seen.workspaces if each.name == name), None)
    if taken is not None:
        raise Conflict(f"You already have a workspace called {taken.title}. Choose another name.")
    if seen.full:
        raise Conflict(
            f"You have {len(seen.workspaces)} of {seen.limit} workspaces. "
            "Delete one that you no longer need."
        )
    return title, name
