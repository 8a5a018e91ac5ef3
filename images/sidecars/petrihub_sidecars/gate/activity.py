"""When somebody last used the tool, and telling the hub so: it stops what nobody uses."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime

from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.log import app_log


class Activity:
    """The last moment of real use. Health checks and pings are none."""

    def __init__(self) -> None:
        self.last = datetime.now(UTC)  # somebody has just started it
        self._told: datetime | None = None

    def touch(self) -> None:
        """Somebody uses the tool at this moment."""
        self.last = datetime.now(UTC)

    async def tell(self, environment: Mapping[str, str] = os.environ) -> None:
        """Tell the hub the last moment of use, unless it knows it; it may hear of it later."""
        last = self.last
        if last == self._told:
            return
        told = {"last_activity": last.isoformat()}
        server = environment["JUPYTERHUB_SERVER_NAME"]
        try:
            await AsyncHTTPClient().fetch(
                environment["JUPYTERHUB_ACTIVITY_URL"],
                method="POST",
                headers={
                    "Authorization": f"token {environment['JUPYTERHUB_API_TOKEN']}",
                    "Content-Type": "application/json",
                },
                body=json.dumps({"servers": {server: told}, **told}),
            )
        except (HTTPClientError, OSError) as exc:
            app_log.warning("The hub did not hear of activity: %s", exc)
        else:
            self._told = last
