"""PKCE for the hub's own OAuth: required, and only with a hash (RFC 9700, section 2.1.1)."""

from typing import Any

from petrihub_core.errors import ConfigError


def require_pkce(oauth_provider: Any) -> None:
    """Make the hub's OAuth refuse requests without a challenge, and challenges that are plain.

    JupyterHub's own switch (`oauth_require_pkce`) still takes the method "plain", with which
    whoever sees the request can redeem the code; oauthlib has no setting for it.
    """
    grant = oauth_provider.auth_grant
    methods = dict(grant._code_challenge_methods)
    if "S256" not in methods:
        raise ConfigError(
            "This version of oauthlib has no S256, so that sign-in would not be safe.",
            hint="Install the versions that PetriHub's lock file names.",
        )
    grant._code_challenge_methods = {"S256": methods["S256"]}
    oauth_provider.request_validator.require_pkce = True
