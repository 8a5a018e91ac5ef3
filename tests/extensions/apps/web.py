"""A small web app: `web.py PORT MARKS [FILE]`; writes one line to MARKS at each start."""

import json
import os
import signal
import sys

from tornado import httpserver, ioloop, netutil, web, websocket

PLACE, MARKS, *FILES = sys.argv[1:]


class Page(web.RequestHandler):
    def get(self, path: str) -> None:
        told = {
            **{"path": path, "files": FILES, "arguments": sys.argv},
            **{"pid": os.getpid(), "environment": dict(os.environ)},
        }
        self.finish(json.dumps(told))


class Die(web.RequestHandler):
    def post(self) -> None:
        sys.stdout.write("told to die\n")
        sys.stdout.flush()
        os._exit(int(self.get_argument("code")))


class Kill(web.RequestHandler):
    def post(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Echo(websocket.WebSocketHandler):
    def on_message(self, message: str | bytes) -> None:
        self.write_message(f"echo {message!s}")


with open(MARKS, "a", encoding="utf-8") as marks:
    marks.write(f"{os.getpid()}\n")
sys.stdout.write("the app is listening\n")
sys.stdout.flush()
routes = [("/die", Die), ("/kill", Kill), ("/echo", Echo), ("(/.*)", Page)]
server = httpserver.HTTPServer(web.Application(routes))  # type: ignore[arg-type]
if PLACE.startswith("/"):
    server.add_socket(netutil.bind_unix_socket(PLACE))
else:
    server.listen(int(PLACE), "127.0.0.1")
ioloop.IOLoop.current().start()
