"""The programs that carry the files: sshfs for a file server, s3fs for S3."""

import asyncio
import os
import subprocess
from contextlib import suppress
from pathlib import Path

from petrihub_sidecars.mounts.kernel import closed_after, fuse
from petrihub_sidecars.mounts.orders import S3, Order, Sftp, signed_for

_ALIVE_EVERY, _ALIVE_COUNT = 5, 3  # seconds; after 15 without an answer a connection is over
_CONNECT_WITHIN = 5
_CHECK_WITHIN = 8
# the folder is an object of its own; made again it is what it was
_MAKE_FOLDER = ("-H", "Content-Type: application/x-directory", "-X", "PUT", "--data-binary", "")
_OWNER = 1000  # whose files they are in the workspace
_PROGRAMS = Path(__file__).parent / "programs"
_WITHOUT_RIGHTS = (str(_PROGRAMS / "without-rights"),)


class Refused(Exception):
    """The server answers, and does not let us in."""


class Silent(Exception):
    """The server does not answer."""


def start(order: Order) -> "subprocess.Popen[bytes]":
    """Mount, and start the program that answers there; it has no rights and no secrets in its
    environment.
    """
    device = fuse(order.place, name=order.name, read_only=order.read_only)
    with closed_after(device):
        if isinstance(order.remote, Sftp):
            command = _sshfs(order, order.remote, device)
        else:
            command = _s3fs(order, order.remote)
        return subprocess.Popen(
            [*_WITHOUT_RIGHTS, *command],
            stdin=subprocess.DEVNULL,
            pass_fds=(device,),
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(order.private),
                "PETRIHUB_FUSE_DEVICE": str(device),
            },
        )


async def check(order: Order) -> None:
    """Whether the server lets us in; raises `Refused` or `Silent` in words."""
    if isinstance(order.remote, S3):
        await _ask_s3(order, order.remote, *_MAKE_FOLDER)
        return
    await _greet(order.remote.host, order.remote.port)
    remote = order.remote
    login = [*_ssh(order), "-p", str(remote.port), f"{remote.account}@{remote.host}", "-s", "sftp"]
    code, said = await _run(login)
    if code == 0:
        return
    if "verification failed" in said:
        raise Refused("The file server's host key is another than petrihub.toml says.")
    if "denied" in said:
        raise Refused("The file server does not accept this workspace's key.")
    raise Silent("The file server does not answer.")


async def look(order: Order) -> None:
    """As `check`, for a mount whose own answers do not come from the server."""
    if isinstance(order.remote, S3):
        await _ask_s3(order, order.remote, "--head")


async def _ask_s3(order: Order, remote: S3, *request: str) -> None:
    folder = "".join(f"/{part}" for part in (remote.bucket, *remote.prefix.split("/")))
    code, said = await _run(
        [
            "curl",
            *("--config", str(order.private / "curl")),
            *signed_for(remote.region),
            *("--silent", "--show-error", *request),
            *("--max-time", str(_CHECK_WITHIN), "--write-out", "%{stderr}status %{http_code}"),
            *("--output", "/dev/null", f"{remote.endpoint}{folder}/"),
        ]
    )
    status = said.rpartition("status ")[2]
    if code == 0 and status == "200":
        return
    if status in ("401", "403"):
        raise Refused("The object store does not accept the credentials.")
    if status == "404":
        raise Refused("There is no such bucket in the object store.")
    raise Silent("The object store does not answer.")


async def greets(order: Order) -> bool:
    """Whether the server is there at all; within a few seconds."""
    try:
        if isinstance(order.remote, Sftp):
            await _greet(order.remote.host, order.remote.port)
        else:
            await _ask_s3(order, order.remote, "--head")
    except Silent:
        return False
    except Refused:
        return True
    return True


async def _greet(host: str, port: int) -> None:
    said = b""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_CONNECT_WITHIN):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                said = await reader.readline()
            finally:
                writer.close()
    if not said.startswith(b"SSH-"):
        raise Silent("The file server does not answer.")


async def _run(command: list[str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *_WITHOUT_RIGHTS,
        *command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "HOME": "/dev/null"},
    )
    try:
        async with asyncio.timeout(_CHECK_WITHIN):
            _, said = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return -1, ""
    return process.returncode or 0, said.decode(errors="replace")


def _ssh(order: Order) -> list[str]:
    options = {
        "IdentityFile": order.private / "key",
        "UserKnownHostsFile": order.private / "known_hosts",
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "PreferredAuthentications": "publickey",
        "ClearAllForwardings": "yes",
        "ConnectTimeout": _CONNECT_WITHIN,
        "ServerAliveInterval": _ALIVE_EVERY,
        "ServerAliveCountMax": _ALIVE_COUNT,
        "LogLevel": "ERROR",
    }
    words = [f"-o{name}={value}" for name, value in options.items()]
    return ["ssh", "-F", "none", *words]


def _sshfs(order: Order, remote: Sftp, device: int) -> list[str]:
    # a writer is told of an error at the latest when it closes; what was written before is a
    # beginning of the file, since one connection keeps the order
    options = (
        "reconnect",
        f"uid={_OWNER}",
        f"gid={_OWNER}",
        "dcache_timeout=5",
        "max_read=65536",
        f"port={remote.port}",
        # a home's links may lead anywhere, as an environment's to its Python; those that others
        # made stay below their folder (CVE-2026-47187; the default since then)
        *(("no_contain_symlinks",) if order.name == "home" else ()),
    )
    return [
        "sshfs",
        f"{remote.account}@{remote.host}:/files",
        f"/dev/fd/{device}",
        "-f",
        "-o",
        ",".join(options),
        "-o",
        f"ssh_command={_PROGRAMS / 'ssh-if-there'} {' '.join(_ssh(order)[1:])}",
    ]


def _s3fs(order: Order, remote: S3) -> list[str]:
    # s3fs and not rclone: it sends a file when it is closed and tells the writer how that went
    options = (
        f"url={remote.endpoint}",
        "nonempty",  # of our own files
        "use_path_request_style",
        f"endpoint={remote.region}",
        f"passwd_file={order.private / 'credentials'}",
        f"uid={_OWNER}",
        f"gid={_OWNER}",
        "umask=0077",
        "connect_timeout=5",
        "readwrite_timeout=15",
        "retries=2",
        "notsup_compat_dir",  # else each question has four parts
        "stat_cache_expire=5",
        *(("ro",) if order.read_only else ()),
    )
    # it asks for a mount of its own, at a place that nobody sees: programs/fusermount3 hands over
    # the one that there is
    return [
        "s3fs",
        f"{remote.bucket}:/{remote.prefix}",
        str(order.private),
        "-f",
        "-o",
        ",".join(options),
    ]


def look_every(order: Order) -> float:
    """Seconds between two looks; object stores count each of them."""
    return 5.0 if isinstance(order.remote, S3) else 3.0


def away(order: Order) -> str:
    """That the server does not answer, in words."""
    what = "file server" if isinstance(order.remote, Sftp) else "object store"
    return f"The {what} does not answer."


def forget(order: Order) -> None:
    """The server is there again."""
    (order.private / "away").unlink(missing_ok=True)


def remember_away(order: Order) -> None:
    """Nobody shall wait for a connection while the server is away."""
    os.close(os.open(order.private / "away", os.O_WRONLY | os.O_CREAT, 0o600))
