"""Puts the gate together: what it knows, its routes, its two servers, its rounds."""

import hashlib
import hmac
import os
import re
from typing import Any

from jupyter_server_proxy.standalone.app import StandaloneProxyServer
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from petrihub_sidecars.gate.activity import Activity
from petrihub_sidecars.gate.door import Door
from petrihub_sidecars.gate.guarded import Callback, Guarded
from petrihub_sidecars.gate.identity import KEYS_PATH, KeysHandler, Signer
from petrihub_sidecars.gate.own import Guests, Health, Look, Style, VisitsPage
from petrihub_sidecars.gate.pages import OWN_PATH
from petrihub_sidecars.gate.settings import TOKEN_VARIABLE, GateSettings
from petrihub_sidecars.gate.sign_in import SignIn
from petrihub_sidecars.gate.tool import Tool
from petrihub_sidecars.gate.visits import Visits

_ROUND = 5.0  # seconds between two looks at those who have something open
_LARGEST_BODY = 1 << 40  # bodies are passed on as they come: the tool decides what is too much


class Gate:
    """What all handlers share."""

    def __init__(self, settings: GateSettings, token: str) -> None:
        self.settings = settings
        self.proof = proof(token)
        self.visits = Visits()
        self.sign_in = SignIn(settings, self.visits)
        self.signer = Signer(settings)
        self.activity = Activity()
        self.tool = Tool(settings)


def proof(token: str) -> str:
    """What only somebody who has the workspace's token can say; the hub half computes the same."""
    return hmac.new(token.encode(), b"petrihub gate", hashlib.sha256).hexdigest()


class Elsewhere(RequestHandler):
    """Whatever is not below the workspace's own address."""

    def prepare(self) -> None:
        """Nothing is here, for anybody."""
        self.send_error(404)


class GateServer(StandaloneProxyServer):  # type: ignore[misc]  # it has no types
    """jupyter-server-proxy's server for a tool of its own under JupyterHub, with our handlers.

    Its address, port and base URL come from JupyterHub's variables, its sign-in is JupyterHub's
    OAuth. What it passes on, and how, is ours (`Door`): there bodies are kept in memory whole,
    every header goes through, and nobody asks whose page a request came from.
    """

    def create_app(self) -> Application:
        """The routes; all but the health check, the style and the sign-in's end ask who comes."""
        gate = Gate(GateSettings.read(os.environ), os.environ[TOKEN_VARIABLE])
        self.gate = gate
        base, given = re.escape(gate.settings.base_url), {"gate": gate}
        routes: list[Any] = [
            (f"{base}oauth_callback", Callback, given),
            (f"{base}{OWN_PATH}health", Health, given),
            (f"{base}{OWN_PATH}gate\\.css", Style),
            (f"{base}{OWN_PATH}visits", VisitsPage, given),
            (f"{base}petrihub/api/guests", Guests, given),
            (f"{base}petrihub/api/guests/look", Look, given),
            (f"{base}.*", Door, given),
            (f"{base.rstrip('/')}", Slash, given),
        ]
        return Application(
            routes,
            default_handler_class=Elsewhere,
            cookie_secret=os.urandom(32),
            log_function=_quiet,
        )

    def start(self) -> None:
        """Listen, and look after those who are in, until the process is told to end."""
        app = self.create_app()
        gate = self.gate
        outside = HTTPServer(app, max_body_size=_LARGEST_BODY, max_header_size=64 * 1024)
        outside.add_sockets(bind_sockets(gate.settings.listen_port, gate.settings.host))
        keys = Application([(re.escape(KEYS_PATH), KeysHandler, {"signer": gate.signer})])
        keys.listen(gate.settings.identity_port, "127.0.0.1")
        PeriodicCallback(gate.activity.tell, gate.settings.reports_every * 1000).start()
        PeriodicCallback(gate.sign_in.keep_watch, _ROUND * 1000).start()
        IOLoop.current().start()


class Slash(Guarded):
    """The workspace's address without its slash."""

    def get(self) -> None:
        """To where the tool's own addresses begin."""
        self.redirect(self.gate.settings.base_url)


def _quiet(_: RequestHandler) -> None:
    """No line for each request: they would tell the log what people look at."""
