"""The token that a running workspace is given by the hub, made as the hub makes it."""

from petrihub_cli.state import inner_ports, keys
from petrihub_portal.hub import Hub
from petrihub_portal.registration import CLIENT_ID, server_token_scopes

from tests.portal.guests import Site


def hub_of(site: Site) -> Hub:
    """The hub, as the portal of this site asks it."""
    api = f"http://127.0.0.1:{inner_ports(site.deployment)['hub']}/hub/api"
    return Hub(api, keys(site.deployment)["portal_token"], CLIENT_ID)


async def token_of_workspace(site: Site, name: str, workspace: str = "study") -> str:
    """What the workspace of this person would hold as JUPYTERHUB_API_TOKEN."""
    hub = hub_of(site)
    # the hub fills in the same when it starts a server
    scopes = [
        each.replace("!server", f"!server={name}/{workspace}") for each in server_token_scopes()
    ]
    try:
        made = await hub.call("POST", "users", name, "tokens", body={"scopes": scopes})
    finally:
        await hub.close()
    return str(made["token"])


async def end_tokens(site: Site, name: str) -> None:
    """Take all of a person's tokens back, as the hub does with a workspace's at its stop."""
    hub = hub_of(site)
    try:
        found = await hub.call("GET", "users", name, "tokens")
        for each in found["api_tokens"]:
            await hub.call("DELETE", "users", name, "tokens", each["id"])
    finally:
        await hub.close()
