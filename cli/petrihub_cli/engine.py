"""The Docker engine that PetriHub talks to: one that the machine offers, or a private one.

A private engine has its own socket, data, network bridge and process id file in one folder,
touches no other engine, outlives the command that started it and keeps its images.
"""

import asyncio
import errno
import hashlib
import os
import shutil
import socket as sockets
import stat
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

import httpx
import psutil

from petrihub_cli.alone import alone
from petrihub_core.errors import Conflict, NotAllowed, Unavailable, Unsupported

SYSTEM_SOCKET = Path("/var/run/docker.sock")
START_SECONDS = 90.0
STOP_SECONDS = 60.0
PACKAGES = ("docker.io", "iproute2")
INSTALL_COMMAND = f"apt-get install --no-install-recommends {' '.join(PACKAGES)}"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Engine:
    """A Docker engine that answered: its unix socket and, if it is our own, its process."""

    socket: str
    started_by_us: bool
    pid: int | None

    @property
    def url(self) -> str:
        """The address in the form that DOCKER_HOST takes."""
        return f"unix://{self.socket}"


@dataclass(frozen=True)
class EngineFolder:
    """Where a private engine keeps everything that is its own."""

    path: Path

    @property
    def socket(self) -> Path:
        """The unix socket on which the engine answers."""
        return self.path / "engine.sock"

    @property
    def data(self) -> Path:
        """Images, containers and volumes; kept between runs."""
        return self.path / "data"

    @property
    def pidfile(self) -> Path:
        """The engine's process id, written by the engine."""
        return self.path / "engine.pid"

    @property
    def log(self) -> Path:
        """What the engine says."""
        return self.path / "engine.log"

    @property
    def mark(self) -> str:
        """A short name of this folder, for what must be unique on the machine."""
        return hashlib.sha256(str(self.path).encode()).hexdigest()[:8]

    @property
    def bridge(self) -> str:
        """The engine's network bridge (an interface name has at most 15 letters)."""
        return f"petri-{self.mark}"


def engine_folder(path: Path | None = None) -> EngineFolder:
    """The folder given, or $PETRIHUB_ENGINE_DIR, or ~/.cache/petrihub/engine."""
    chosen = path or Path(
        os.environ.get("PETRIHUB_ENGINE_DIR") or Path.home() / ".cache" / "petrihub" / "engine"
    )
    return EngineFolder(chosen.expanduser().resolve())


async def answers(socket: Path | str) -> bool:
    """Whether an engine answers on this unix socket; NotAllowed if we may not ask it."""
    try:
        if not stat.S_ISSOCK(os.stat(socket).st_mode):
            return False
    except FileNotFoundError:
        return False
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    try:
        async with httpx.AsyncClient(transport=transport, timeout=5.0) as client:
            return (await client.get("http://engine/_ping")).status_code == httpx.codes.OK
    except httpx.TransportError as error:
        if _connect_error(socket) == errno.EACCES:
            raise NotAllowed(
                f"You may not use the Docker engine at {socket}.",
                hint="Ask the administrator to put you in the group docker, and sign in again.",
            ) from error
        return False


def _connect_error(socket: Path | str) -> int:
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
        return probe.connect_ex(str(socket))


async def find_engine(socket: str = "", *, folder: Path | None = None) -> Engine | None:
    """The engine to use if one answers: the socket given, DOCKER_HOST, the machine's, our own."""
    named = socket or os.environ.get("DOCKER_HOST", "")
    if named:
        path = _socket_path(named)
        own = engine_folder(folder)
        if await answers(path):
            ours = Path(path) == own.socket
            return Engine(path, started_by_us=ours, pid=_engine_pid(own) if ours else None)
        raise Unavailable(
            f"No Docker engine answers at {named}.",
            hint="Start it, or leave the setting out: PetriHub then finds or starts one.",
        )
    with suppress(NotAllowed):  # one of our own may still be there
        if await answers(SYSTEM_SOCKET):
            return Engine(str(SYSTEM_SOCKET), started_by_us=False, pid=None)
    return await _private_engine(engine_folder(folder))


def _socket_path(address: str) -> str:
    if "://" not in address:
        return address
    scheme, _, path = address.partition("://")
    if scheme == "unix" and path:
        return path
    raise Unsupported(
        f"PetriHub needs a Docker engine on this machine, and {address} is not a unix socket.",
        hint="Unset DOCKER_HOST, or set it to unix:///path/of/the/socket.",
    )


async def _private_engine(own: EngineFolder) -> Engine | None:
    if await answers(own.socket):
        return Engine(str(own.socket), started_by_us=True, pid=_engine_pid(own))
    return None


def _engine_pid(own: EngineFolder) -> int | None:
    """The living process of this private engine; a recycled process id is not taken for it."""
    try:
        process = psutil.Process(int(own.pidfile.read_text()))
        if process.status() != psutil.STATUS_ZOMBIE and str(own.data) in process.cmdline():
            return process.pid
    except (OSError, ValueError, psutil.Error):
        return None
    return None


async def ensure_engine(
    socket: str = "",
    *,
    folder: Path | None = None,
    private: bool = False,
    install: bool = False,
    progress: Progress | None = None,
) -> Engine:
    """A Docker engine that answers; a private one is started if there is none.

    `private` passes over the machine's own engine. `install` lets apt-get install Docker when it
    is missing. Raises NotAllowed, Unavailable or Unsupported in words if none can be had.
    """
    own = engine_folder(folder)
    found = await (_private_engine(own) if private else find_engine(socket, folder=folder))
    if found:
        return found
    if os.geteuid() != 0:
        await _refuse_without_root()
    say = progress or _silent
    async with alone(own.path / "lock"):
        if found := await _private_engine(own):  # somebody else was faster
            return found
        installed = await _programs_were_missing(install=install, progress=say)
        # where there is a service manager, the package has just started the machine's own engine
        if installed and not private and (found := await find_engine(socket, folder=folder)):
            return found
        say("Starting a private Docker engine")
        return await _start(own)


def _silent(_: str) -> None:
    """The progress of a caller who does not want to know."""


async def _refuse_without_root() -> None:
    if not await answers(SYSTEM_SOCKET):  # raises NotAllowed when it is there but not for us
        raise NotAllowed(
            "No Docker engine answers on this machine, and only root may start one.",
            hint=f"Run: sudo {INSTALL_COMMAND} && sudo systemctl start docker "
            "&& sudo usermod -aG docker $USER, and sign in again. Or use the backend local.",
        )


async def _programs_were_missing(*, install: bool, progress: Progress) -> bool:
    """Whether Docker had to be installed; Unavailable with the command if that is not wanted."""
    if shutil.which("dockerd") and shutil.which("ip"):
        return False
    if install and shutil.which("apt-get"):
        await install_packages("Docker", PACKAGES, progress)
        return True
    raise Unavailable(
        "Docker is not installed on this machine.", hint=f"Run: sudo {INSTALL_COMMAND}"
    )


async def install_packages(what: str, packages: Iterable[str], progress: Progress) -> None:
    """Install Debian or Ubuntu packages with apt-get; Unavailable with its last words if not."""
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
    for words, command in (
        ("Reading the package lists", ["apt-get", "update", "--quiet"]),
        (f"Installing {what}", install),
    ):
        progress(words)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
        said, _ = await process.communicate()
        if process.returncode:
            last = said.decode(errors="replace").strip().splitlines()[-3:]
            raise Unavailable(
                f"{words} failed: {' '.join(last)}",
                hint=f"Run it by hand to see all it says: {' '.join(command)}",
            )


async def _start(own: EngineFolder) -> Engine:
    """Start the engine and wait until it answers; Unavailable with its last words if not."""
    # the kernel takes 107 letters, and the sockets of containerd below have longer names (tried)
    if len(str(own.socket)) > 78:
        raise Unavailable(
            f"The folder of the private Docker engine has too long a name: {own.path}",
            hint="Set PETRIHUB_ENGINE_DIR to a shorter one.",
        )
    if _engine_pid(own) is None:
        own.pidfile.unlink(missing_ok=True)  # of an engine that died with the machine
    await _ensure_bridge(own)
    process = _launch(own)
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await answers(own.socket):
                if process.poll() is not None:
                    raise Unavailable(
                        f"The private Docker engine ended at once: {_last_words(own)}",
                        hint=f"All it said is in {own.log}",
                    )
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        process.terminate()
        raise Unavailable(
            f"The private Docker engine did not answer within {START_SECONDS:.0f} seconds.",
            hint=f"What it said is in {own.log}",
        ) from error
    return Engine(str(own.socket), started_by_us=True, pid=process.pid)


def _launch(own: EngineFolder) -> "subprocess.Popen[bytes]":
    """Start dockerd in a session of its own, so that Ctrl-C on the caller does not reach it."""
    command = [
        "dockerd",
        f"--host=unix://{own.socket}",
        "--data-root",
        str(own.data),
        "--exec-root",
        str(own.path / "run"),
        "--pidfile",
        str(own.pidfile),
        f"--bridge={own.bridge}",
        # an engine of the machine may share its containerd with us, but not its name space
        f"--containerd-namespace=petrihub-{own.mark}",
        f"--containerd-plugins-namespace=petrihub-plugins-{own.mark}",
        "--group=0",
        "--log-opt=max-size=10m",
        "--log-opt=max-file=2",
    ]
    kept = {"PATH", "HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "TMPDIR"}
    environment = {k: v for k, v in os.environ.items() if k.upper() in kept}
    with own.log.open("wb") as said:
        return subprocess.Popen(
            command,
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _last_words(own: EngineFolder) -> str:
    lines = own.log.read_text(errors="replace").strip().splitlines()
    return " / ".join(lines[-3:])[-600:]


async def _ensure_bridge(own: EngineFolder) -> None:
    """Make the engine's bridge in a network that nothing on this machine uses, if it has none."""
    addresses = psutil.net_if_addrs()
    if any(a.family == sockets.AF_INET for a in addresses.get(own.bridge, [])):
        return
    taken = [
        IPv4Interface(f"{a.address}/{a.netmask or '255.255.255.255'}").network
        for listed in addresses.values()
        for a in listed
        if a.family == sockets.AF_INET
    ]
    network = free_network(taken)
    gateway = f"{network[1]}/{network.prefixlen}"
    if own.bridge not in addresses:
        await _ip("link", "add", own.bridge, "type", "bridge")
    await _ip("address", "add", gateway, "dev", own.bridge)
    await _ip("link", "set", own.bridge, "up")


def free_network(taken: Iterable[IPv4Network]) -> IPv4Network:
    """The first of our /24 networks that overlaps none of `taken`; Conflict if all do."""
    used = list(taken)
    for pool in ("10.211.0.0/16", "172.30.0.0/16", "192.168.128.0/17"):
        for candidate in IPv4Network(pool).subnets(new_prefix=24):
            if not any(candidate.overlaps(network) for network in used):
                return candidate
    raise Conflict(
        "All the private networks that a Docker engine could use are taken on this machine.",
        hint="Start a Docker engine by hand, and name its socket in petrihub.toml.",
    )


async def _ip(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "ip", *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode:
        raise Unavailable(
            f"The network of the private Docker engine could not be made: "
            f"ip {' '.join(arguments)}: {said.decode(errors='replace').strip()}",
            hint="Use an engine that an administrator started, or the backend local.",
        )


async def stop_engine(folder: Path | None = None) -> bool:
    """Stop the private engine and remove its bridge; its images stay. False if none ran."""
    own = engine_folder(folder)
    if not own.path.is_dir():
        return False
    async with alone(own.path / "lock"):
        pid = _engine_pid(own)
        if pid is None:
            return False
        process = psutil.Process(pid)
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, STOP_SECONDS)
        except psutil.TimeoutExpired as error:
            raise Unavailable(
                f"The private Docker engine (process {pid}) did not stop in "
                f"{STOP_SECONDS:.0f} seconds.",
                hint=f"Look at {own.log}, then run: kill -9 {pid}",
            ) from error
        if own.bridge in psutil.net_if_addrs():
            await _ip("link", "delete", own.bridge)
    return True
