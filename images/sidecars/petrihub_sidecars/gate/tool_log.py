"""The last lines that the tool wrote: the hub knows them, the gate asks for them."""

import json
import os
from collections.abc import Mapping
from urllib.parse import quote

from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.log import app_log

from petrihub_sidecars.gate.settings import TOKEN_VARIABLE, GateSettings

_ANSWER = 5.0  # seconds that the hub has to answer


async def last_lines(settings: GateSettings, environment: Mapping[str, str] = os.environ) -> str:
    """Without what looks like a secret; empty if they cannot be had now."""
    user, server = (quote(each, safe="") for each in (settings.owner, settings.workspace))
    try:
        answer = await AsyncHTTPClient().fetch(
            f"{environment['JUPYTERHUB_API_URL']}/petrihub/users/{user}/servers/{server}/log",
            headers={"Authorization": f"token {environment[TOKEN_VARIABLE]}"},
            request_timeout=_ANSWER,
            connect_timeout=_ANSWER,
        )
        return str(json.loads(answer.body)["log"]).strip()
    except (HTTPClientError, OSError, ValueError, KeyError) as exc:
        app_log.warning("The tool's last lines could not be read: %s", exc)
        return ""
