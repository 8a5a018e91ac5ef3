"""Ignores requests to end, and has a child that left its group: `stubborn.py PORT PIDS`."""

import http.server
import os
import signal
import subprocess
import sys

port, pids = sys.argv[1:]
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "3600"], start_new_session=True)
with open(pids, "w", encoding="utf-8") as file:
    file.write(f"{os.getpid()} {child.pid}")
http.server.HTTPServer(
    ("127.0.0.1", int(port)), http.server.SimpleHTTPRequestHandler
).serve_forever()
