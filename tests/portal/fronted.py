"""A whole PetriHub behind Caddy, and people who come by HTTPS."""

import hashlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import httpx

from petrihub_core.deployment import Deployment, read_deployment
from petrihub_core.ports import free_port

from tests.platform import Up, start_up
from tests.portal.guests import Guest, Site

DOMAIN = "localhost"  # a name that every resolver, browser and ACME server finds on this machine
OWN_DOMAIN = "hub.test"  # with people's own origins below it; only our clients find it

_CONFIG = """\
backend = "local"
[address]
port = {port}
[front]
kind = "caddy"
domain = "{domain}"
https_port = {https}
http_port = {http}
listen = "127.0.0.1"
subdomains = {subdomains}
[workspaces]
stop_on_exit = true
"""


@dataclass
class Fronted(Site):
    """A running platform that answers HTTPS."""

    @property
    def plain(self) -> str:
        front = self.deployment.front
        return f"http://{front.domain}:{front.http_port}"


def start_fronted(state: Path, domain: str = DOMAIN) -> Fronted:
    """Run `petrihub up` with a front on free ports; at `OWN_DOMAIN` with people's own origins."""
    state.mkdir(parents=True, exist_ok=True)
    port = free_port()
    text = _CONFIG.format(
        port=port,
        domain=domain,
        https=free_port(),
        http=free_port(),
        subdomains="true" if domain == OWN_DOMAIN else "false",
    )
    (state / "petrihub.toml").write_text(text)
    up: Up = start_up(state, "local", port)
    deployment: Deployment = read_deployment(state / "petrihub.toml")
    return Fronted(up, deployment)


class ToThisMachine(httpx.HTTPTransport):
    """Every name leads to loopback, and every certificate is accepted."""

    def __init__(self) -> None:
        super().__init__(verify=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """With the name as Host and for TLS, as a browser does."""
        return super().handle_request(
            httpx.Request(
                request.method,
                request.url.copy_with(host="127.0.0.1"),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": request.url.host},
            )
        )


class HttpsGuest(Guest):
    """Somebody whose browser has accepted the site's certificate, whatever it is."""

    def __post_init__(self) -> None:
        self.client = httpx.Client(
            base_url=self.site.url, follow_redirects=True, timeout=60, transport=ToThisMachine()
        )


def served(site: Fronted, name: str = DOMAIN) -> str:
    """The fingerprint of the certificate that a browser would be shown now, at this name."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = ("127.0.0.1", site.deployment.front.https_port)
    with (
        socket.create_connection(address) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        return hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()
