"""A terminal in JupyterLab finds what the workspace's image has: pip, python, petrihub-save."""

import asyncio
import json
import os
import re
from collections.abc import Callable

import httpx
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.extensions.conftest import TOKEN, Running

PLACE = "/opt/petrihub/studio/bin"  # where the images have them


async def test_a_terminal_keeps_the_path_of_the_workspace(
    jupyter_server: Callable[..., Running],
) -> None:
    """A login shell would begin with Debian's own path instead."""
    running = jupyter_server([], PATH=f"{PLACE}:{os.environ['PATH']}")
    headers = {"Authorization": f"token {TOKEN}"}
    async with httpx.AsyncClient(base_url=running.url, headers=headers, timeout=60) as client:
        made = (await client.post("api/terminals")).raise_for_status().json()
    url = f"{running.url.replace('http', 'ws', 1)}terminals/websocket/{made['name']}"
    socket = await websocket_connect(HTTPRequest(url, headers=headers))
    await socket.write_message(json.dumps(["stdin", 'echo "begins: ${PATH%%:*}"\r']))
    said = ""
    async with asyncio.timeout(60):
        # what was typed is shown as well, with the variable in it
        while not (found := re.search(r"begins: (/\S*)\s", said)):
            message = await socket.read_message()
            assert message is not None, said
            kind, *words = json.loads(message)
            said += str(words[0]) if kind == "stdout" else ""
    socket.close()
    assert found[1] == PLACE
