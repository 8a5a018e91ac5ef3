"""Ports that are still free when the program that shall listen there has started."""

import random
import socket
from pathlib import Path

import pytest

from petrihub_core import ports
from petrihub_core.errors import Unavailable
from petrihub_core.ports import free_port, free_ports
from petrihub_extensions.readiness import free_port as free_port_of_an_app

NOT_HERE = "203.0.113.1"  # an address for documentation, of no machine


def given_away_by_linux() -> range:
    first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    return range(int(first), int(last) + 1)


def test_nobody_gets_them_by_chance() -> None:
    chosen = [*free_ports(200), *(free_port_of_an_app() for _ in range(200))]
    assert not set(chosen) & set(given_away_by_linux())
    assert len(set(chosen[:200])) == 200


def test_they_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, free = free_ports(2)
    monkeypatch.setattr(random, "sample", lambda *_: [taken, free])
    with socket.create_server(("127.0.0.1", taken)):
        assert free_port() == free_port_of_an_app() == free


def test_where_none_is_free_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_OWN", range(20_000, 32_768))  # all, not this process's share
    with pytest.raises(Unavailable, match="No port from 20000 to 32767 is free"):
        free_port(NOT_HERE)
