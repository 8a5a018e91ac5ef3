"""A workspace program that starts in no time: the standard library only, so that it runs anywhere.

Its first argument, or the word in the file `mode` beside it, makes it fail in a chosen way.
"""
# ruff: noqa: T201 - what it prints is its log

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

HELD = []


class Door(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        act = getattr(self, "on_" + url.path.rstrip("/").rsplit("/", 1)[-1], None)
        answer = act(**query) if act else {}
        body = json.dumps(answer).encode()
        self.send_response(200 if act else 404)
        self.send_header("X-JupyterHub-Version", os.environ.get("STAND_IN_VERSION", "6.1.1"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

    def on_api(self):
        return {"version": "stand-in"}

    def on_environment(self):
        return dict(os.environ)

    def on_status(self):
        return Path("/proc/self/status").read_text()

    def on_score(self):
        return Path("/proc/self/oom_score_adj").read_text().strip()

    def on_write(self, name, text):
        (Path(os.environ["HOME"]) / name).write_text(text)
        return sorted(path.name for path in Path(os.environ["HOME"]).iterdir())

    def on_read(self, name):
        return (Path(os.environ["HOME"]) / name).read_text()

    def on_connect(self, host, port):
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
        except OSError as exc:
            return f"{type(exc).__name__}"
        return "reached"

    def on_relay(self, port, question):
        """What another program of the pod answers, which only this one reaches."""
        with urlopen(f"http://127.0.0.1:{port}/{question}", timeout=10) as answer:
            return json.load(answer)

    def on_processes(self):
        """The command lines of all processes that this one sees."""
        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
        return [line.decode().split("\0") for line in lines]

    def on_through(self, name):
        """A file of the first process's home, seen through that process."""
        return (Path("/proc/1/root" + os.environ["HOME"]) / name).read_text()

    def on_exit(self, code):
        threading.Timer(0.1, os._exit, [int(code)]).start()

    def on_flood(self, mib):
        """Fill the log as fast as it goes."""
        for _ in range(int(mib) * 2**10):
            os.write(
                1, b"a line of a hundred letters and more, all of them of no use to anybody\n" * 15
            )

    def on_eat(self, mib):
        threading.Timer(0.1, lambda: HELD.append(b"x" * int(mib) * 2**20)).start()

    def on_threads(self, count):
        made = 0
        try:
            for _ in range(int(count)):
                threading.Thread(target=threading.Event().wait, daemon=True).start()
                made += 1
        except RuntimeError:
            pass
        return made

    def on_stray(self):
        """Leave a child behind that is in no group and no session of ours."""
        if os.fork():
            return os.getpid()
        os.setsid()
        if os.fork():
            os._exit(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for descriptor in range(3, 64):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        threading.Event().wait()


def main():
    beside = Path(__file__).with_name("mode")
    mode = sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("--") else ""
    mode = mode or (beside.read_text().strip() if beside.exists() else "")
    print("stand-in: starting", flush=True)
    if mode == "broken":
        print("stand-in: <b>I cannot work</b> & must end", flush=True)
        sys.exit(3)
    if mode == "full":
        print("OSError: [Errno 28] No space left on device", flush=True)
        sys.exit(1)
    if mode == "deaf":
        threading.Event().wait()
    if mode == "held":
        # until the file `go` beside it names its owner, or everybody
        go = beside.with_name("go")
        while not {"everybody", os.environ["JUPYTERHUB_USER"]} & set(go.read_text().split()):
            time.sleep(0.05)
    if mode == "eater":
        held = [bytearray(os.urandom(1) * 2**20 * 64) for _ in range(64)]
        print(len(held))
    url = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server = ThreadingHTTPServer((url.hostname, url.port), Door)
    print("stand-in: ready", flush=True)
    server.serve_forever()


main()
