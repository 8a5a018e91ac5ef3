"""Words for what goes wrong with containers."""

from typing import Any

from petrihub_core.errors import PetriHubError
from petrihub_spawner.backends.engine import EngineRefusal
from petrihub_spawner.stages import DISK_FULL, FREE_SPACE, Stage, StartFailed, looks_disk_full

_KILLED = 137  # 128 + SIGKILL
_LARGER = "Choose a larger size, or load less at once."


def explained(error: PetriHubError, stage: Stage, log: str) -> StartFailed:
    """What a failed call of the engine means for a start."""
    if not isinstance(error, EngineRefusal):
        return StartFailed(error.message, stage=stage, hint=error.hint, log=log)
    words = error.words.lower()
    if looks_disk_full(words):
        return StartFailed(DISK_FULL, stage=stage, hint=FREE_SPACE, log=log)
    if "no such image" in words:
        return StartFailed(
            "The image of this profile is not on the engine any more.",
            stage=stage,
            hint="Ask the administrator to run `petrihub images build`.",
            log=log,
        )
    return StartFailed(error.message, stage=stage, hint=error.hint, log=log)


def with_log(error: StartFailed, log: str) -> StartFailed:
    """The same failure with the workspace's last lines, or what these lines say is the reason."""
    if looks_disk_full(log):
        return StartFailed(DISK_FULL, stage=error.stage, hint=FREE_SPACE, log=log)
    return StartFailed(error.message, stage=error.stage, hint=error.hint, log=log)


def ending(model: dict[str, Any]) -> str:
    """How the inspected container ended, in a sentence."""
    state = model["State"]
    if state.get("OOMKilled"):
        limit = size(model["HostConfig"]["Memory"])
        return f"It ran out of memory: its size allows {limit}. {_LARGER}"
    if state.get("Running"):
        return "It is running."
    if state["ExitCode"] == _KILLED:
        return "It was killed."
    return f"It ended with exit code {state['ExitCode']}."


def size(number: int) -> str:
    """Bytes in MiB or GiB."""
    return f"{number / 2**30:g} GiB" if number >= 2**30 else f"{number / 2**20:g} MiB"
