"""Where a person's workspaces are reached: at an origin of their own, or at the site's."""

import socket
from urllib.parse import urlsplit

from jupyterhub.utils import subdomain_hook_idna

from petrihub_core.deployment import Deployment

_CHECKED = "petrihub-check"  # a name below the domain that nobody has, to see whether it leads here


def subdomain_hook(name: str, domain: str, kind: str) -> str:
    """For `JupyterHub.subdomain_hook`: names below the domain are people's, services stay on it."""
    if kind == "service":
        return domain
    label: str = subdomain_hook_idna(name, domain, kind)
    return label


def origin_of(deployment: Deployment, username: str) -> str:
    """Scheme, name and port of this person's workspaces; empty where they are the site's own."""
    if not deployment.front.origins:
        return ""
    site = urlsplit(deployment.public_url)
    port = f":{site.port}" if site.port else ""
    return f"{site.scheme}://{subdomain_hook(username, deployment.front.domain, 'user')}{port}"


def lead_here(deployment: Deployment) -> bool:
    """Whether names below the domain are known to this machine's resolver. Blocks."""
    try:
        socket.getaddrinfo(f"{_CHECKED}.{deployment.front.domain}", deployment.front.https_port)
    except OSError:
        return False
    return True


def all_origins(deployment: Deployment) -> str:
    """All of these, as a Content-Security-Policy names them; empty if there are none."""
    if not deployment.front.origins:
        return ""
    scheme, _, rest = deployment.public_url.partition("://")
    return f"{scheme}://*.{rest}"
