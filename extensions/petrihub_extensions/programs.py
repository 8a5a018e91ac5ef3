"""Which programs this workspace has. Imports little: the desktop's own process uses it too."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

X_SERVERS = ("Xvnc", "Xtigervnc")


def program_on(program: str, path: str) -> str | None:
    """Where the program is: an absolute path must be executable, a name must be on `path`."""
    return shutil.which(program, path=path)


def x_server(path: str) -> str | None:
    """The VNC X server of this workspace; None when there is none."""
    return next((found for name in X_SERVERS if (found := program_on(name, path))), None)


def search_path(environment: Mapping[str, str]) -> str:
    """The PATH that a program with this environment would use."""
    return environment.get("PATH", os.defpath)
