"""A process that the hub started ends with the hub, also when that was killed."""

import os
import signal
import threading
import time

_LOOK_SECONDS = 0.5  # between two looks whether the hub is still there


def end_with(hub_process: int) -> None:
    """From now on ask this process to end in order once its parent is not this one any more.

    The parent is told, not asked of the system: it may have been killed before we came this far.
    """
    threading.Thread(target=_watch, args=(hub_process,), daemon=True).start()


def _watch(hub_process: int) -> None:
    while os.getppid() == hub_process:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
