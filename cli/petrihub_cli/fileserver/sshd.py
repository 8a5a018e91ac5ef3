"""OpenSSH as the file server runs it: its configuration, its view of the machine, its sessions.

sshd runs in a mount namespace of its own, in which /etc/passwd is ours. So the accounts of people
and groups exist for this one process: the machine itself, its login and its other sshd know none
of them, and nothing of the machine is changed.
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import psutil

from petrihub_cli.fileserver.accounts import KEYS_ACCOUNT
from petrihub_core.errors import Unavailable
from petrihub_core.storage_keys import PUBLIC_READER

SEEN = Path("/run/petrihub-fileserver")  # where sshd sees the data: root's all along
OWN = ".server"  # in the data folder: host key, accounts, keys, sessions
_NEW_NAMESPACE = 0x00020000
_RECURSIVE, _SLAVE, _BIND = 0x4000, 1 << 19, 4096

# sshd asks with each key that somebody offers; its parent is the process of that very session
_ASK = """\
#!/bin/sh
set -f
[ -r "{own}/keys/$1" ] || exit 0
while read -r fingerprint key; do
    if [ "$fingerprint" = "$2" ]; then
        echo "$1 $2" > "{own}/sessions/$PPID"
        echo "restrict $key"
    fi
done < "{own}/keys/$1"
"""

_CONFIG = """\
ListenAddress {address}
Port {port}
HostKey {own}/host_key
PidFile none
LogLevel INFO
UsePAM no
UseDNS no
AllowUsers h-* g-* public public-w
AuthenticationMethods publickey
PubkeyAcceptedAlgorithms ssh-ed25519
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
AuthorizedKeysFile none
AuthorizedKeysCommand {own}/ask %u %f
AuthorizedKeysCommandUser {keys_account}
MaxAuthTries 3
MaxSessions 4
MaxStartups 60:30:300
LoginGraceTime 20
ClientAliveInterval 15
ClientAliveCountMax 3
DisableForwarding yes
PermitTTY no
PermitTunnel no
PermitUserRC no
PermitUserEnvironment no
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
ChrootDirectory %h
ForceCommand internal-sftp -u 0077
Match User {public}
    ForceCommand internal-sftp -R
Match User public-w
    ForceCommand internal-sftp -u 0022
"""


def enter_own_view(data: Path, passwd: str) -> None:
    """From now on this process and its children see the data folder at `SEEN`, and our accounts.

    Raises `Unavailable` if the system does not allow it. For the main thread, before any other.
    """
    own = data / OWN
    for name, text in (
        ("passwd", passwd),
        ("group", "root:x:0:\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    ):
        (own / name).write_text(text)
    SEEN.mkdir(exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    steps = [
        libc.unshare(_NEW_NAMESPACE),
        libc.mount(b"none", b"/", None, _RECURSIVE | _SLAVE, None),
        libc.mount(os.fsencode(data), os.fsencode(SEEN), None, _BIND, None),
        *(
            libc.mount(os.fsencode(own / name), f"/etc/{name}".encode(), None, _BIND, None)
            for name in ("passwd", "group", "nsswitch.conf")
        ),
    ]
    if any(steps):
        raise Unavailable(
            f"sshd cannot be given a view of its own: {os.strerror(ctypes.get_errno())}.",
            hint="Run it as root, not in a container without the right to mount.",
        )


class Sshd:
    """One sshd with its files below `data`; made before and used after `enter_own_view`."""

    def __init__(self, program: Path, data: Path, keys_uid: int) -> None:
        self._program = program
        self._own = data / OWN
        for name in ("keys", "sessions"):
            (self._own / name).mkdir(parents=True, exist_ok=True)
        os.chown(self._own / "sessions", keys_uid, keys_uid)
        for old in (self._own / "sessions").iterdir():
            old.unlink()
        self._host_key = self._own / "host_key"
        if not self._host_key.exists():
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]
            subprocess.run([*command, self._host_key], check=True, stdin=subprocess.DEVNULL)

    @property
    def public_key(self) -> str:
        """The host key, as [storage.sftp] wants it."""
        return " ".join(self._host_key.with_suffix(".pub").read_text().split()[:2])

    def start(self, address: str, port: int) -> "subprocess.Popen[bytes]":
        """Check the configuration and run it; raises `Unavailable` in sshd's words."""
        seen = SEEN / OWN
        (self._own / "sshd_config").write_text(
            _CONFIG.format(
                address=address,
                port=port,
                own=seen,
                keys_account=KEYS_ACCOUNT,
                public=PUBLIC_READER,
            )
        )
        (self._own / "ask").write_text(_ASK.format(own=seen))
        (self._own / "ask").chmod(0o755)
        Path("/run/sshd").mkdir(exist_ok=True)  # where it confines what has not signed in yet
        command = [str(self._program), "-D", "-e", "-f", str(seen / "sshd_config")]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        if checked.returncode != 0:
            raise Unavailable(f"sshd does not start: {checked.stderr.strip()}")
        return subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def write_accounts(self, passwd: str) -> None:
        """Let sshd know a new account; the file is only ever appended to, so a reader sees lines"""
        path = self._own / "passwd"
        before = path.read_text()
        with path.open("a") as file:
            file.write(passwd.removeprefix(before))

    def write_keys(self, account: str, lines: Collection[str]) -> None:
        """The keys that may log in to the account, each as its fingerprint and OpenSSH's form."""
        path = self._own / "keys" / account
        text = "".join(f"{line}\n" for line in sorted(lines))
        if not path.exists() or path.read_text() != text:
            fresh = self._own / f".{account}.new"
            fresh.write_text(text)
            fresh.rename(path)

    def accounts_with_keys(self) -> list[str]:
        """The accounts that keys were written for."""
        return [path.name for path in (self._own / "keys").iterdir()]

    def end_sessions(self, allowed: Collection[tuple[str, str]]) -> int:
        """End every session whose account and fingerprint are not `allowed`; how many there were"""
        ended = 0
        for path in (self._own / "sessions").iterdir():
            account, _, fingerprint = path.read_text().strip().partition(" ")
            if not fingerprint:
                continue  # it is just being written
            process = _session(int(path.name), path.stat().st_mtime)
            if process is None:
                path.unlink()
            elif (account, fingerprint) not in allowed:
                end_tree(process)
                path.unlink()
                ended += 1
        return ended


def _session(pid: int, noted_at: float) -> psutil.Process | None:
    """The process of sshd that this note is about; None if it is gone, or another has its number"""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if process.name() == "sshd" and process.create_time() <= noted_at + 1:
            return process
    return None


def end_tree(process: psutil.Process) -> None:
    """End the process and all that it started."""
    with suppress(psutil.NoSuchProcess):
        for each in (*process.children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGKILL)
