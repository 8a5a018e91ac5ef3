"""What guests may do: over every route that a workspace has, and every kind of message."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from tornado.web import RequestHandler

from petrihub_extensions.guests import door as doors
from petrihub_extensions.guests import setup
from petrihub_extensions.guests.rules import Mode, may_say, refusal, seen_as_read_only
from petrihub_extensions.guests.shares import FRESH, Identities, Shares
from petrihub_extensions.guests.visitors import Visitors

# prints every route of a real server with everything that workspaces have: what runs, and how
LIST = """
import json, sys
from jupyter_server.serverapp import ServerApp
from petrihub_extensions.guests.rules import Mode, name_of, refusal
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler
app = ServerApp.instance(allow_root=True, port=0, open_browser=False)
app.initialize(argv=[])
rows = []
methods = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
for host in app.web_app.default_router.rules:
    for rule in host.target.rules:
        target = rule.target
        if not (isinstance(target, type) and issubclass(target, RequestHandler)):
            raise SystemExit(f"the door cannot stand before {target}")
        made = [m for m in methods
                if getattr(target, m.lower()) is not getattr(RequestHandler, m.lower())]
        rows.append({
            "name": name_of(target), "methods": made,
            "socket": issubclass(target, WebSocketHandler),
            "view": [m for m in made if not refusal(Mode.VIEW, target, m)],
        })
print(json.dumps(rows))
"""


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    home = tmp_path_factory.mktemp("routes")
    listed = subprocess.run(
        [sys.executable, "-c", LIST],
        env={**os.environ, "HOME": str(home), "JUPYTER_CONFIG_DIR": str(home / "config")},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert listed.returncode == 0, listed.stderr
    rows: list[dict[str, Any]] = json.loads(listed.stdout.splitlines()[-1])
    return rows


def test_a_viewer_changes_nothing_by_any_route(routes: list[dict[str, Any]]) -> None:
    assert len(routes) > 70
    changing = {
        (row["name"].rsplit(".", 1)[1], method)
        for row in routes
        for method in row["view"]
        if method not in ("GET", "HEAD")
    }
    assert changing == {("DocSessionHandler", "PUT")}  # answers with the name of a room


def test_a_viewer_has_one_kind_of_websocket_and_no_app(routes: list[dict[str, Any]]) -> None:
    open_ones = {row["name"].rsplit(".", 1)[1] for row in routes if row["socket"] and row["view"]}
    assert open_ones == {"YDocWebSocketHandler"}
    closed = {row["name"].rsplit(".", 1)[1] for row in routes if not row["view"]}
    assert closed >= {
        *("TermSocket", "TerminalRootHandler", "KernelWebsocketHandler", "KernelActionHandler"),
        *("LocalProxyHandler", "RemoteProxyHandler", "AppProxyHandler", "DesktopSocketHandler"),
        *("DesktopPageHandler", "OpenHandler", "StopHandler", "LogHandler", "FilesHandler"),
        *("NbconvertFileHandler", "ViewHandler", "TimelineHandler", "UndoRedoHandler"),
        *("DocForkHandler", "SubscribeWebsocket", "EventHandler", "ShutdownHandler"),
        *("PrometheusMetricsHandler", "LanguageServerWebSocketHandler", "PluginHandler"),
        *("ExtensionHandler", "FileIDHandler", "TrustNotebooksHandler"),
    }


def test_what_is_new_is_closed_to_viewers() -> None:
    from tornado.web import RequestHandler

    class SomethingNew(RequestHandler):
        pass

    assert refusal(Mode.VIEW, SomethingNew, "GET")
    assert not refusal(Mode.WORK, SomethingNew, "GET")


@pytest.mark.parametrize(
    ("message", "through"),
    [
        (b"\x00\x00\x01\x00", True),  # asks for the state of the document
        (b"\x01\x02\x01\x00", True),  # presence
        (b"\x00\x01\x02\x00\x00", False),  # answers with a state of its own
        (b"\x00\x02\x02\x00\x00", False),  # an edit
        (b"\x80\x00\x02\x02\x00\x00", False),  # the same, the first number written longer
        (b"\x00\x82\x00\x02\x00\x00", False),
        (b"\x02\x04save\x01", False),  # asks the server to save
        (b"\x00", False),
        (b"", False),
        ("\x00\x00\x01\x00", False),  # as text
        (b"\x01" + bytes(70_000), False),  # presence that is none
    ],
)
def test_of_a_viewers_messages_only_two_kinds_pass(message: object, through: bool) -> None:
    assert may_say(Mode.VIEW, message, room=True) is through
    assert may_say(Mode.VIEW, message, room=False) is False
    assert may_say(None, message, room=True) is False
    assert may_say(Mode.WORK, message, room=False) is True


def test_files_are_shown_as_read_only() -> None:
    file = {"name": "a", "type": "file", "writable": True, "content": "x"}
    folder = {"name": "b", "type": "directory", "writable": True, "content": [file]}
    assert seen_as_read_only(file) == {**file, "writable": False}
    seen = seen_as_read_only(folder)
    assert (seen["writable"], seen["content"][0]["writable"]) == (False, False)
    assert seen_as_read_only([1]) == [1]


def test_what_the_hub_said_of_a_guest_is_forgotten_early() -> None:
    cache = Identities("ada", 300)
    for name in ("ada", "bob"):
        cache[name] = {"name": name}
        cache.timestamps[name] -= FRESH + 1
    cache["nobody"] = None
    assert "ada" in cache
    assert "bob" not in cache
    cache.forget_guests()
    assert ("ada" in cache, "nobody" in cache) == (True, False)


def test_nobody_is_inside_before_they_come() -> None:
    visitors = Visitors()
    assert (visitors.inside(), visitors.expel("bob"), visitors.connected()) == ([], False, False)


class Said(Shares):
    """What the hub says is written here."""

    names: tuple[str, ...] = ()

    async def _page(self, offset: int) -> dict[str, Any]:
        items = [{"user": {"name": name}, "scopes": []} for name in self.names]
        return {"items": items, "_pagination": {"next": None}}


async def test_who_was_put_out_by_a_round_is_told_at_the_next_look_and_only_there(
    monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., Any]
) -> None:
    shares, visitors = Said(None, "ada", "one"), Visitors()
    door = doors.Door(shares, visitors, doors.Identities(None, Identities("ada", 300)))
    for name in ("bob", "cyd", "dan"):
        visitors.seen(name, Mode.VIEW, Mock(spec=RequestHandler))
    shares.names = ("cyd", "dan")
    monkeypatch.setattr(setup, "_ROUND", 0.01)
    rounds = asyncio.create_task(setup.rounds(door, logging.getLogger(__name__)))

    async def bob_is_out() -> bool:
        return "bob" not in [each.name for each in visitors.inside()]

    await wait_until(bob_is_out)
    rounds.cancel()
    shares.names = ("dan",)
    assert await door.look() == ["bob", "cyd"]
    assert await door.look() == []


async def test_without_a_hub_there_is_no_door(workspace: Any) -> None:
    assert (await workspace.client.get("petrihub/api/guests/me")).status_code == 404
    assert (await workspace.client.get("api/contents")).status_code == 200
