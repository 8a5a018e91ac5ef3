"""Whether an app can run here: looked at for every listing, since people install things."""

from __future__ import annotations

from petrihub_extensions.descriptors import DESKTOP, AppDescriptor
from petrihub_extensions.programs import program_on, x_server


def why_not(app: AppDescriptor, desktop: AppDescriptor | None, path: str) -> str:
    """The reason in words why the app cannot be opened; empty when it can. Looks at the disk."""
    if app.unavailable:
        return app.unavailable
    absent = [program for program in app.requires if not program_on(program, path)]
    if absent:
        return app.missing or f"{app.title} is not installed in this workspace ({absent[0]})."
    if app.id != DESKTOP and app.kind == "desktop":
        reason = why_not(desktop, None, path) if desktop else _no_desktop(path)
        return f"{app.title} needs the desktop. {reason}" if reason else ""
    if app.id == DESKTOP and not x_server(path):
        return app.missing or _no_desktop(path)
    return ""


def _no_desktop(path: str) -> str:
    if x_server(path):
        return ""
    return "The Linux desktop is not installed in this workspace (no Xvnc)."
