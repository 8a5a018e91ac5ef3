"""By which names browsers may reach this deployment.

A page elsewhere that re-resolves its own name to our address (DNS rebinding) sends that name as
Host. Whoever listens for browsers asks here, and answers such a request with 400. Where each
person has an origin of their own, the names directly below the domain are theirs: the routing
proxy alone answers them, and only with their workspaces.
"""

import ipaddress
import json
import socket

from petrihub_core.deployment import Deployment

NAMES_VARIABLE = "PETRIHUB_KNOWN_NAMES"  # for the routing proxy, which is no Python


class HostNames:
    """The known names; a numeric address is always one, since no foreign page can have it."""

    def __init__(self, deployment: Deployment) -> None:
        front, address = deployment.front, deployment.address
        machine = (socket.gethostname(), socket.getfqdn())
        named = ("localhost", address.host, front.domain, *address.names, *machine)
        self._below = f".{front.domain}" if front.origins else ""
        known = {name.lower() for name in named if name}
        # a name below the domain is a person's, also if this machine is called so
        self._names = {name for name in known if not self._is_below(name)}
        self._site = deployment.public_url

    def knows(self, host: str) -> bool:
        """Whether the value of a Host header names the site itself."""
        name = _without_port(host.lower())
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _is_below(self, name: str) -> bool:
        return bool(self._below) and name.endswith(self._below)

    def for_the_proxy(self) -> str:
        """The same as JSON, for deploy/proxy/known-names.cjs."""
        return json.dumps({"names": sorted(self._names), "below": self._below, "site": self._site})


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.partition(":")
    return name if port.isdecimal() or not port else host
