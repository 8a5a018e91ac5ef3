"""Whether a port of this network namespace is bound to loopback only, as the kernel sees it."""

import ipaddress
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTEN = "0A"


def exposed_at(port: int, tables: tuple[Path, ...] = _TABLES) -> str:
    """The address other than loopback at which something listens on this port; empty: none."""
    for table in tables:
        try:
            lines = table.read_text().splitlines()[1:]
        except FileNotFoundError:
            continue  # a kernel without IPv6
        for line in lines:
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == _LISTEN and int(number, 16) == port:
                found = _address(address)
                if not _loopback(found):
                    return str(found)
    return ""


def _address(written: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    # the kernel writes words of 32 bits in the machine's order, which is little-endian on all ours
    words = [bytes.fromhex(written[i : i + 8])[::-1] for i in range(0, len(written), 8)]
    return ipaddress.ip_address(b"".join(words))


def _loopback(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    inner = getattr(address, "ipv4_mapped", None) or address
    return bool(inner.is_loopback)
