"""Networks of the Docker backend: one for each workspace, and one on whose gateway the hub is."""

import asyncio
import hashlib
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from typing import Any

import psutil
from docker.types import IPAMConfig, IPAMPool

from petrihub_core.deployment import Deployment
from petrihub_core.errors import ConfigError, Unavailable
from petrihub_core.names import external_name
from petrihub_spawner.backends.engine import ACT_WITHIN, ASK_WITHIN, Engine, EngineRefusal
from petrihub_spawner.pod.model import DEPLOYMENT_LABEL

Network = ipaddress.IPv4Network

_PREFIX = 28  # 13 containers in one workspace; the engine's own pools end after about 30 networks
_TRIES = 64
_OVERLAP_SIGNS = ("overlap", "already in use")


async def create_network(engine: Engine, pool: Network, arguments: dict[str, Any]) -> None:
    """Make the network in a subnet of `pool` that nothing uses; raises `Unavailable` if all are."""
    taken = await asyncio.to_thread(networks_of_this_machine)
    for subnet in candidates(pool, arguments["name"], taken):
        try:
            await engine.act("create_network", **arguments, ipam=_ipam(subnet))
        except EngineRefusal as exc:
            # another start may have taken it since we looked
            if not any(sign in exc.words.lower() for sign in _OVERLAP_SIGNS):
                raise
        else:
            return
    raise Unavailable(
        f"All the networks in {pool} that could be tried are in use.",
        hint="Stop a workspace, or ask the administrator for a larger network_pool.",
    )


def candidates(pool: Network, name: str, taken: Iterable[Network]) -> Iterator[Network]:
    """Free subnets of `pool` in the order in which to try them; it starts at a place of its own
    for each name, so that starts at one time do not all try the same.
    """
    used = list(taken)
    count = 2 ** max(0, _PREFIX - pool.prefixlen)
    first = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    for number in range(min(_TRIES, count)):
        offset = (first + number) % count * 2 ** (32 - _PREFIX)
        subnet = Network((int(pool.network_address) + offset, max(_PREFIX, pool.prefixlen)))
        if not any(subnet.overlaps(other) for other in used):
            yield subnet


def networks_of_this_machine() -> list[Network]:
    """The networks that the machine's interfaces are in, also those of other engines."""
    found = []
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family == socket.AF_INET and address.netmask:
                found.append(Network(f"{address.address}/{address.netmask}", strict=False))
    return found


def ensure_hub_network(deployment: Deployment) -> str:
    """The address, reachable from every workspace, on which the hub shall listen.

    It is the gateway of a network that is made on first use. Blocks; for the hub's configuration.
    """
    engine = Engine(deployment.docker.socket)
    name = external_name("hub", deployment.id)
    wanted = deployment.docker.hub_subnet
    try:
        known = engine.call(ASK_WITHIN, "inspect_network", name)
    except EngineRefusal as exc:
        if exc.code != 404:
            raise
    else:
        pools = known["IPAM"]["Config"]
        if pools and (wanted is None or pools[0].get("Subnet") == str(wanted)):
            # running workspaces know this address: it stays
            return str(pools[0]["Gateway"])
        engine.call(ACT_WITHIN, "remove_network", name)  # the setting was changed
    taken = networks_of_this_machine()
    choices = [wanted] if wanted else candidates(deployment.docker.network_pool, name, taken)
    for subnet in choices:
        if not any(subnet.overlaps(other) for other in taken) and _made(
            engine, name, subnet, {DEPLOYMENT_LABEL: deployment.id}
        ):
            return str(next(subnet.hosts()))
    raise _hub_subnet_taken(wanted or deployment.docker.network_pool)


def _made(engine: Engine, name: str, subnet: Network, labels: dict[str, str]) -> bool:
    """Make the hub's network; False if the engine says that the subnet is taken."""
    try:
        engine.call(
            ACT_WITHIN,
            "create_network",
            name,
            driver="bridge",
            check_duplicate=True,
            ipam=_ipam(subnet),
            labels=labels,
        )
    except EngineRefusal as exc:
        if any(sign in exc.words.lower() for sign in _OVERLAP_SIGNS):
            return False
        raise
    return True


def _hub_subnet_taken(subnet: Network) -> ConfigError:
    return ConfigError(
        f"The network {subnet} is already used on this machine.",
        hint="Name another one in petrihub.toml: [docker] hub_subnet or network_pool.",
    )


def _ipam(subnet: Network) -> IPAMConfig:
    pool = IPAMPool(subnet=str(subnet), gateway=str(next(subnet.hosts())))
    return IPAMConfig(pool_configs=[pool])
