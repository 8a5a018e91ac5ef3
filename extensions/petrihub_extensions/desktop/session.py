"""The desktop as one program: X server, then the session in it. Runs in a process of its own.

`python -m petrihub_extensions.desktop.session FOLDER SOCKET -- SESSION...` writes `FOLDER/display`
once the X server answers, starts the session, and ends with whichever of the two ends first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from petrihub_extensions.desktop.authority import write_authority
from petrihub_extensions.programs import program_on, search_path, x_server

GEOMETRY = "1280x720"  # until a browser connects and asks for its own size
# the first that is installed; each is a command that lives as long as the person is signed in
SESSIONS = (
    ("dbus-launch", "--exit-with-session", "xfce4-session"),
    ("dbus-launch", "--exit-with-session", "openbox-session"),
    ("openbox-session",),
    ("openbox",),
)


def main(folder: Path, socket: str, session: list[str]) -> int:
    """Runs the desktop to its end; the exit code of what ended it."""
    server = x_server(search_path(os.environ))
    if server is None:
        sys.stderr.write("no Xvnc on PATH\n")
        return 127
    session = session or next((list(each) for each in SESSIONS if _installed(each)), [])
    authority = folder / "authority"
    write_authority(authority)
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    screen = subprocess.Popen(
        [
            *(server, "-displayfd", str(writer), "-auth", str(authority)),
            *("-rfbunixpath", socket, "-rfbunixmode", "0600", "-rfbport", "-1"),
            *("-SecurityTypes", "None", "-AlwaysShared", "-nolisten", "tcp"),
            *("-geometry", GEOMETRY, "-depth", "24", "-desktop", "PetriHub"),
        ],
        pass_fds=(writer,),
    )
    os.close(writer)
    with os.fdopen(reader, encoding="ascii") as numbers:
        number = numbers.readline().strip()
    if not number:
        return screen.wait() or 1
    environment = dict(os.environ, DISPLAY=f":{number}", XAUTHORITY=str(authority))
    windows = subprocess.Popen(session, env=environment) if session else None
    ready = folder / "display.new"
    ready.write_text(f":{number}\n", encoding="ascii")
    ready.rename(folder / "display")
    return _first_to_end(screen, windows)


def _installed(session: tuple[str, ...]) -> bool:
    path = search_path(os.environ)
    return all(program_on(name, path) for name in session if not name.startswith("-"))


def _first_to_end(screen: subprocess.Popen[bytes], windows: subprocess.Popen[bytes] | None) -> int:
    """Waits for either; the leash above us takes down the other."""
    while True:
        pid, status = os.wait()
        code = os.waitstatus_to_exitcode(status)
        for program in (screen, windows):
            if program is not None and program.pid == pid:
                program.returncode = code
                return code if code >= 0 else 128 - code


if __name__ == "__main__":
    _, _folder, _socket, _, *_session = sys.argv
    sys.exit(main(Path(_folder), _socket, _session))
