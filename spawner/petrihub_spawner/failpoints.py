"""Named places where a test makes this process die; without PETRIHUB_FAILPOINT nothing happens."""

import os
import signal

VARIABLE = "PETRIHUB_FAILPOINT"


def fail_point(name: str) -> None:
    """End this process with SIGKILL if `name` is the chosen place."""
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
