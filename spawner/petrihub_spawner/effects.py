"""What is written down, and told to the owner, about starts, stops and ends of workspaces."""

from dataclasses import replace

from petrihub_core.errors import PetriHubError
from petrihub_core.feed import Kind, Line
from petrihub_core.intents import DONE, ENDED, START, WAIT, Effect, Intents
from petrihub_core.records import new_id
from petrihub_core.web import PORTAL_PREFIX
from petrihub_spawner.choices import Choices
from petrihub_spawner.pod.codec import encode
from petrihub_spawner.pod.model import PodRef, WorkspacePod

TELL = "Tell the administrator; the log has the details."
_NOT_RUNNING = "It is not running."  # all that a backend says when it found nothing


def effect_on(ref: PodRef, kind: str, choices: Choices | None = None) -> Effect:
    """An effect on this workspace, without a plan."""
    return Effect(
        kind=kind,
        workspace=ref.key,
        owner=ref.person,
        external={"name": ref.name},
        plan={},
        profile=choices.profile.id if choices else "",
        size=choices.size.id if choices else "",
    )


def start_of(pod: WorkspacePod, choices: Choices) -> Effect:
    """The start of this pod."""
    return replace(effect_on(pod.ref, START, choices), plan=encode(pod))


def wait_of(ref: PodRef, user: str, title: str, choices: Choices) -> Effect:
    """The wait of a start for its turn, with what is needed to ask for it again."""
    return replace(
        effect_on(ref, WAIT, choices),
        external={"user": user, "server": ref.workspace, "title": title},
        plan={"options": choices.options()},
    )


def start_failed(title: str, reason: str, key: str) -> Line:
    """The start of the workspace `title` failed; `key` names this one start."""
    return Line(
        kind=Kind.FAILED,
        title=f"{title} could not be started",
        text=reason,
        link=PORTAL_PREFIX,
        link_title="Go to your workspaces",
        key=f"start-failed:{key}",
    )


def restart_failed(title: str, reason: str, key: str) -> Line:
    """The workspace `title` was stopped and could not be started again."""
    return replace(
        start_failed(title, reason, key),
        title=f"{title} could not be started again",
        key=f"restart-failed:{key}",
    )


async def note_failed(intents: Intents, title: str, intent_id: str, error: BaseException) -> None:
    """A start that was begun has failed."""
    if isinstance(error, PetriHubError):
        reason = error.jupyterhub_message
    else:
        reason = f"Something unexpected happened. {TELL}"
    await intents.fail(intent_id, reason, start_failed(title, reason, intent_id))


async def note_refused(
    intents: Intents,
    title: str,
    ref: PodRef,
    error: PetriHubError,
    choices: Choices | None = None,
) -> None:
    """Nothing was begun outside, but the page that shows the workspace must know why."""
    reason = error.jupyterhub_message
    line = start_failed(title, reason, new_id())
    await intents.note_failure(effect_on(ref, START, choices), reason, line)


async def note_ended(intents: Intents, title: str, ref: PodRef, how: str) -> None:
    """A workspace is gone; if nobody stopped it, its owner is told once. `how` is the backend's."""
    newest = await intents.newest(ref.key)
    if newest is None or (newest.kind, newest.state) != (START, DONE):
        return
    if how == _NOT_RUNNING:
        how = "Its programs are gone; the machine may have been restarted."
    reason = f"It ended by itself. {how} Files that were saved are kept."
    line = Line(
        kind=Kind.FAILED,
        title=f"{title} ended by itself",
        text=reason,
        link=PORTAL_PREFIX,
        link_title="Start it again",
        key=f"ended:{newest.id}",
    )
    await intents.note_failure(effect_on(ref, ENDED), reason, line)
