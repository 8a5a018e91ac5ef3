"""How the hub knows the portal: as a service, with the scopes it needs and those it understands."""

from typing import Any

from petrihub_core.roles import Permission
from petrihub_core.web import PORTAL_PREFIX

SERVICE = "portal"
CLIENT_ID = f"service-{SERVICE}"
SCOPE = "custom:petrihub:"
OWN_SCOPE = f"{SCOPE}own"  # what is the person's own: workspaces, requests, feed, shares
WORK_SCOPE = "custom:petrihub-workspace:work"  # in a share of the hub: more than to view
# of a workspace's own token: the checkpoints of this one workspace
CHECKPOINTS_SCOPE = "custom:petrihub-workspace:checkpoints"
OPEN_SCOPE = "access:servers!user"  # of a token: one's own running workspaces
_REDIRECT = f"{PORTAL_PREFIX}oauth_callback"  # the portal asks for it by its path

# Not JupyterHub's `self`: that makes tokens without end at the hub's own API, past our limits.
# The last three are held for the workspaces, whose tokens can do no more than their person.
_PERSON_SCOPES = [
    "read:users!user",
    "servers!user",
    OPEN_SCOPE,
    "users:activity!user",
    "read:shares!user",
    f"{CHECKPOINTS_SCOPE}!user",
]


def custom_scopes() -> dict[str, dict[str, str]]:
    """What an access token may be allowed in the portal; what the person may do is our roles'."""
    return {
        OWN_SCOPE: {"description": "Your own workspaces, requests, feed and shares"},
        **{f"{SCOPE}{each}": {"description": f"In the portal: {each}"} for each in Permission},
    }


def workspace_scopes() -> dict[str, dict[str, str]]:
    """What only the portal may put into a share of a workspace, and what a workspace itself may."""
    return {
        WORK_SCOPE: {"description": "Work in a workspace, not only look"},
        CHECKPOINTS_SCOPE: {"description": "Save a workspace and see its checkpoints"},
    }


def server_token_scopes() -> list[str]:
    """What a workspace's own token may: ask the hub with whom it is shared, and save itself."""
    return [
        "users:activity!user",
        "access:servers!server",
        "read:shares!server",
        f"{CHECKPOINTS_SCOPE}!server",
    ]


def hub_roles() -> list[dict[str, Any]]:
    """Rows for `JupyterHub.load_roles`."""
    return [
        {
            "name": "user",
            "description": "What everybody may do for themselves",
            "scopes": [*_PERSON_SCOPES, f"access:services!service={SERVICE}", *custom_scopes()],
        },
        {
            "name": "petrihub-portal",
            "description": "Acts for people after our own roles were asked, with an audit trail",
            "scopes": [
                "list:users",
                "admin:users",
                "admin:servers",
                "admin:server_state",
                "admin:groups",
                "tokens",
                "shares",
                "users:shares",
                "groups:shares",
                WORK_SCOPE,
                "read:hub",
            ],
            "services": [SERVICE],
        },
    ]


def hub_service(
    command: list[str], port: int, token: str, environment: dict[str, str]
) -> dict[str, Any]:
    """The row for `JupyterHub.services`."""
    return {
        "name": SERVICE,
        "command": command,
        "url": f"http://127.0.0.1:{port}",
        "api_token": token,
        "oauth_redirect_uri": _REDIRECT,
        "environment": environment,
        "oauth_no_confirm": True,  # it is a part of the product, not somebody else's
        "display": False,
    }


def outer_service(token: str) -> dict[str, Any]:
    """The row where replicas run by themselves, and the front leads browsers to them."""
    return {
        "name": SERVICE,
        "api_token": token,
        "oauth_client_id": CLIENT_ID,
        "oauth_redirect_uri": _REDIRECT,
        "oauth_no_confirm": True,
        "display": False,
    }
