"""The smallest single-user server: it answers every address below its prefix."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(
            b"<!DOCTYPE html><title>Lab</title><link rel=icon href=data:,><h1>The workspace</h1>"
        )

    def log_message(self, format: str, *args: object) -> None:
        pass


where = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
ThreadingHTTPServer((where.hostname or "127.0.0.1", where.port or 0), Page).serve_forever()
