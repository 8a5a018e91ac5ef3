"""What I do with my workspaces: audited, asked of the hub, waited for no longer than needed."""

import asyncio
from collections.abc import Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit, feed
from petrihub_core.at_stop import kept_of, options_to_go_on
from petrihub_core.errors import Conflict, PetriHubError, Refused
from petrihub_core.intents import DONE, FAILED, OPEN, RESTART, START, WAIT
from petrihub_core.logs import get_logger
from petrihub_core.records import IntentRow, Person, now
from petrihub_core.roles import Actor
from petrihub_portal.context import Portal
from petrihub_portal.my_workspaces import State, Workspace, acting, key_of
from petrihub_portal.sharing import end_all_in
from petrihub_spawner.effects import restart_failed
from petrihub_spawner.restarts import STARTING, STOPPING
from petrihub_spawner.titles import LONGEST_TITLE, clean_title

_AT_ONCE = 1.5  # seconds in which the hub refuses what it refuses at once
_LOOK_EVERY = 0.5  # seconds
_STOP_MARGIN = 60  # seconds past the grace of a stop
_START_MARGIN = 40  # seconds until the hub has taken a start; it answers within ten

log = get_logger(__name__)
_tasks: set[asyncio.Task[Any]] = set()


async def start(portal: Portal, actor: Actor, person: Person, workspace: Workspace) -> None:
    """Start with the last choices.

    A start that was begun and failed is no error here: its page, and home, say why.
    """
    _require(workspace, {State.STOPPED, State.FAILED}, "It cannot be started now.")
    if not workspace.options:
        raise Refused("No profile was chosen yet.", hint="Choose one on the start page.")
    await _write(portal, actor, person, workspace.name, "start")
    await _start(portal, person, workspace.name, await _going_on(portal, person, workspace))


async def _going_on(portal: Portal, person: Person, workspace: Workspace) -> dict[str, str]:
    """The last choices; from what was saved at the last stop, if it was."""
    async with portal.database.reading() as session:
        return await options_to_go_on(session, person.id, workspace.name, dict(workspace.options))


async def start_new(
    portal: Portal, actor: Actor, person: Person, name: str, options: Mapping[str, str]
) -> None:
    """Start a workspace that there is not yet, with these choices; as `start`."""
    await _write(portal, actor, person, name, "start")
    await _start(portal, person, name, options)


async def _start(portal: Portal, person: Person, name: str, options: Mapping[str, Any]) -> None:
    body = {"user_options": dict(options)}
    call = portal.hub.call("POST", "users", person.username, "servers", name, body=body)
    key, since = key_of(person, name), now()
    try:
        await _soon(key, State.STARTING, call)
    except PetriHubError:
        if not await _was_begun(portal, key, since):
            raise


async def stop(portal: Portal, actor: Actor, person: Person, workspace: Workspace) -> None:
    """Stop, or give a start up; what is saved is kept."""
    stoppable = {State.RUNNING, State.WAITING, State.STARTING}
    _require(workspace, stoppable, "It is not running.")
    await _write(portal, actor, person, workspace.name, "stop")
    call = portal.hub.stop(person.username, workspace.name)
    await _soon(key_of(person, workspace.name), State.STOPPING, call)


async def delete(portal: Portal, actor: Actor, person: Person, workspace: Workspace) -> None:
    """Forget the workspace and end its shares; the files in the home stay."""
    if workspace.pending:
        raise Conflict(f"{workspace.title} is {workspace.state}.", hint="Wait until that is done.")
    if workspace.state is State.UNSAVED:
        raise Conflict(
            f"What you changed in {workspace.title} is not saved yet.",
            hint="Wait until it is, or discard it on the page with its checkpoints.",
        )
    await end_all_in(portal, person.id, workspace.name, actor.name)
    await _write(portal, actor, person, workspace.name, "delete")
    body = {"remove": True}
    call = portal.hub.call("DELETE", "users", person.username, "servers", workspace.name, body=body)
    await _soon(key_of(person, workspace.name), State.STOPPING, call)


async def rename(
    portal: Portal, actor: Actor, person: Person, workspace: Workspace, typed: str
) -> str:
    """Give the workspace this title; its address stays. The title as it is shown now."""
    title = clean_title(typed)
    if not title:
        raise Refused(
            f"A title has 1 to {LONGEST_TITLE} letters, digits or signs in one line.",
            hint="Shorten it.",
        )
    async with portal.database.session() as session:
        await _audit(session, actor, person, workspace.name, "rename", title=title)
    path = ("petrihub", "users", person.username, "servers", workspace.name, "title")
    await portal.hub.call("PUT", *path, body={"title": title})
    return title


async def restart(portal: Portal, actor: Actor, person: Person, workspace: Workspace) -> None:
    """Stop, then start with the same choices; from what was saved in between, if it was.

    It is written down first, so that it goes on when the browser, or even this process, ends.
    """
    _require(workspace, {State.RUNNING}, "Only what is running can be restarted.")
    key = key_of(person, workspace.name)
    limit = portal.deployment.workspaces.stop_grace + _STOP_MARGIN + _START_MARGIN
    row = IntentRow(
        kind=RESTART,
        workspace=key,
        owner=person.id,
        external={
            "user": person.username,
            "server": workspace.name,
            "title": workspace.title,
        },
        plan={"options": dict(workspace.options)},
        boot="portal",
        step=STOPPING,
        deadline=now() + timedelta(seconds=limit),
    )
    async with portal.database.session() as session:
        if await session.scalar(
            select(IntentRow.id).where(
                IntentRow.workspace == key, IntentRow.kind == RESTART, IntentRow.state == OPEN
            )
        ):
            raise Conflict(f"{workspace.title} is restarting already.")
        session.add(row)
        await _audit(session, actor, person, workspace.name, "restart")
    # ends before the deadline, after which the reconciler goes on in its place
    _keep(asyncio.create_task(_drive(portal, row, limit - 10)))


async def _drive(portal: Portal, row: IntentRow, within_s: float) -> None:
    where = ("users", row.external["user"], "servers", row.external["server"])
    try:
        async with asyncio.timeout(within_s):
            await portal.hub.stop(row.external["user"], row.external["server"])
            while not (await portal.hub.call("GET", *where))["stopped"]:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_EVERY)  # the hub has no event to wait for
            options = await _saved_options(portal, row)
            await _step(portal, row, STARTING)
            await portal.hub.call("POST", *where, body={"user_options": options})
    except TimeoutError:
        log.warning("a restart takes long; the reconciler goes on", workspace=row.workspace)
    except PetriHubError as exc:
        if await _was_begun(portal, row.workspace, row.started_at):
            await _finish(portal, row, DONE, "")  # that start has told its own failure
        elif exc.status < 500:
            await _finish(portal, row, FAILED, exc.jupyterhub_message)
        else:
            log.warning("a restart waits for the reconciler", workspace=row.workspace)
    else:
        await _finish(portal, row, DONE, "")


async def _saved_options(portal: Portal, row: IntentRow) -> dict[str, str]:
    """What to start with, once what was changed is saved; the reconciler waits for longer."""
    where = (row.owner, row.external["server"])
    while True:
        async with portal.database.reading() as session:
            if await kept_of(session, *where) is None:
                return await options_to_go_on(session, *where, row.plan["options"])
        await asyncio.sleep(_LOOK_EVERY)  # another process saves it


async def _step(portal: Portal, row: IntentRow, step: str) -> None:
    async with portal.database.session() as session:
        (await session.get_one(IntentRow, row.id)).step = step


async def _was_begun(portal: Portal, workspace: str, since: datetime) -> bool:
    """Whether a start of this workspace was written down since then."""
    async with portal.database.reading() as session:
        found = await session.scalar(
            select(IntentRow.id)
            .where(
                IntentRow.workspace == workspace,
                IntentRow.kind.in_((START, WAIT)),
                IntentRow.started_at >= since,
            )
            .limit(1)
        )
    return found is not None


async def _finish(portal: Portal, row: IntentRow, state: str, reason: str) -> None:
    async with portal.database.session() as session:
        kept = await session.get_one(IntentRow, row.id)
        if kept.state != OPEN:
            return
        kept.state, kept.reason, kept.ended_at = state, reason, now()
        if state == FAILED:
            await feed.tell(
                session, row.owner, restart_failed(row.external["title"], reason, row.id)
            )


def _require(workspace: Workspace, states: set[State], otherwise: str) -> None:
    if workspace.state not in states:
        raise Conflict(
            f"{workspace.title} is {workspace.state}. {otherwise}", hint="Reload the page."
        )


async def _write(portal: Portal, actor: Actor, person: Person, name: str, what: str) -> None:
    async with portal.database.session() as session:
        await _audit(session, actor, person, name, what)


async def _audit(
    session: AsyncSession,
    actor: Actor,
    person: Person,
    name: str,
    what: str,
    **detail: str,
) -> None:
    await audit.record(
        session,
        actor=actor.name,
        action=f"workspace.{what}",
        target=f"{person.username}/{name}",
        detail=detail,
    )


async def _soon(key: str, state: State, call: Coroutine[Any, Any, Any]) -> None:
    """Wait for the hub a moment: a refusal is raised, anything longer goes on by itself."""
    acting[key] = state
    task = asyncio.create_task(call)
    _keep(task)
    task.add_done_callback(lambda _: acting.pop(key, None))
    done, _ = await asyncio.wait({task}, timeout=_AT_ONCE)
    if done:
        task.result()


def _keep(task: asyncio.Task[Any]) -> None:
    _tasks.add(task)

    def ended(task: asyncio.Task[Any]) -> None:
        _tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("the hub did not do it", reason=str(error))

    task.add_done_callback(ended)
