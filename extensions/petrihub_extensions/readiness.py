"""When an app is ready, where it listens, and what its end means in words."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from petrihub_extensions.errors import StartFailed

_PROBE_SECONDS = 5.0
_MEMORY_COUNTERS = (
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
)


@dataclass(frozen=True)
class Endpoint:
    """Where an app listens: a unix socket, or a port on loopback."""

    port: int = 0
    socket: str | None = None


def free_port() -> int:
    """A TCP port on loopback that nobody listens on, and that nobody gets by chance."""
    # from 32768 on Linux gives ports away by itself, before the app has begun to listen
    for port in random.sample(range(20_000, 32_768), 1000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise StartFailed("No port is free in this workspace.")


async def answers_http(endpoint: Endpoint, path: str) -> bool:
    """Whether the app gives an answer below 500 at `path`."""
    connector = aiohttp.UnixConnector(endpoint.socket) if endpoint.socket else None
    host = "localhost" if endpoint.socket else f"127.0.0.1:{endpoint.port}"
    timeout = aiohttp.ClientTimeout(total=_PROBE_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        try:
            async with session.get(f"http://{host}{path}", allow_redirects=False) as answer:
                return answer.status < 500
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False


async def accepts(endpoint: Endpoint) -> bool:
    """Whether somebody accepts connections there."""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            if endpoint.socket:
                _, writer = await asyncio.open_unix_connection(endpoint.socket)
            else:
                _, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def out_of_memory_kills() -> int:
    """How often the kernel killed something here for lack of memory, so far."""
    for counter in _MEMORY_COUNTERS:
        try:
            lines = counter.read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(" ")
            if name == "oom_kill" and value.isdigit():
                return int(value)
    return 0


def words_for_exit(title: str, code: int, last_line: str, *, memory_kills: int, early: bool) -> str:
    """Why the app is gone, in words. `memory_kills`: how many the kernel made in its life."""
    if code == 128 + 9:
        if memory_kills:
            return (
                f"{title} was ended because the workspace ran out of memory. "
                "Close other apps and notebooks, or choose a bigger size."
            )
        return f"{title} was killed from outside, most often for lack of memory."
    said = f" Its last line: {last_line}" if last_line else " It said nothing."
    if code in (126, 127):
        return (
            f"{title} could not be started: its program was not found or is not executable.{said}"
        )
    when = "at its start" if early else "by itself"
    how = f"signal {code - 128}" if code > 128 else f"exit code {code}"
    return f"{title} stopped {when} ({how}).{said}"
