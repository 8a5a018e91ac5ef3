"""Ports for programs that are started in a moment, or again tomorrow."""

import random
import socket
from collections.abc import Iterator

from petrihub_core.errors import Unavailable

# From 32768 on Linux gives ports away by itself, to connections and to whoever asks for any; one
# of those that is free now may be in use when the program listens, seconds or a restart later.
_OWN = range(20_000, 32_768)


def free_port(host: str = "127.0.0.1") -> int:
    """A port of this address on which nobody listens; Unavailable if there is none."""
    return next(_free(host))


def free_ports(count: int) -> list[int]:
    """So many of the loopback address, each another one."""
    free = _free("127.0.0.1")
    return [next(free) for _ in range(count)]


def port_is_free(host: str, port: int) -> bool:
    """Whether nothing listens on this address."""
    try:
        socket.create_server((host, port)).close()
    except OSError:
        return False
    return True


def _free(host: str) -> Iterator[int]:
    # by chance, so that two who choose at the same moment hardly choose the same
    for port in random.sample(_OWN, len(_OWN)):
        if port_is_free(host, port):
            yield port
    raise Unavailable(
        f"No port from {_OWN.start} to {_OWN.stop - 1} is free on this machine.",
        hint="Look which programs listen there: ss --listening --tcp --processes",
    )
