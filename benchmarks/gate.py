"""Through the gate, beside what else could stand before a tool, in one run.

The tool is nginx with a file (sendfile: the fastest tool there is, so the hardest to keep up with).
Before it stand, one after the other in each round: nothing, the gate, nginx as a plain reverse
proxy that asks nobody, and jupyter-server-proxy inside a Jupyter server. Then the same file from a
tool that is written in Python, as most are, without and with the gate.

    .venv/bin/python benchmarks/gate.py [--rounds 5] [--nginx /usr/sbin/nginx]

Needs Debian's nginx (apt-get install nginx-light). Writes JSON, table and chart into
docs/benchmarks/. The hub that the gate asks is a stand-in: the gate asks it once in 20 seconds.
"""

import argparse
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
from gate_report import write_page
from report import write_result

from petrihub_core.ports import free_port, free_ports

TOKEN = "benchmark-token-of-this-run-alone"
BASE = "/user/ada/bench/"
BIG_MIB, SMALL_BYTES, ASKED = 1024, 512, 400
PROXY_MIB = 64  # what jupyter-server-proxy can pass on at all: it keeps whole answers in memory
NGINX = """
daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.log;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; tcp_nodelay on;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream tool {{ server 127.0.0.1:{tool}; keepalive 8; }}
  server {{ listen 127.0.0.1:{port}; location / {{ {location} }} }}
}}
"""
PASSES_ON = (
    "proxy_pass http://tool/; proxy_http_version 1.1; proxy_set_header Connection '';"
    " proxy_max_temp_file_size 0;"
)


@dataclass
class Way:
    """One way to the tool."""

    name: str
    port: int
    path: str = "/"
    headers: dict[str, str] = field(default_factory=dict)
    big_mib: int = BIG_MIB
    beside: str = "direct"  # the way without anything before the same tool
    asks: bool = True  # also for the small file
    before: psutil.Process | None = None  # what stands before the tool
    mib_per_second: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    def cpu(self) -> float:
        """Seconds of processor time that what stands before the tool has used."""
        if self.before is None:
            return 0.0
        parts = [self.before, *self.before.children(recursive=True)]
        return sum(sum(part.cpu_times()[:2]) for part in parts)

    def download(self) -> None:
        """The big file once, read and dropped."""
        used = self.cpu()
        kept = memoryview(bytearray(1 << 20))
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        head = f"GET {self.path}big{self.big_mib} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n"
        with socket.create_connection(("127.0.0.1", self.port), timeout=300) as wire:
            begun = time.perf_counter()
            wire.sendall(head.encode())
            start = b""
            while b"\r\n\r\n" not in start:
                start += wire.recv(4096)
            answer, _, body = start.partition(b"\r\n\r\n")
            if b" 200 " not in answer:
                raise RuntimeError(f"{self.name}: {answer[:300]!r}")
            left = (self.big_mib << 20) - len(body)
            while left > 0:
                count = wire.recv_into(kept)
                if not count:
                    raise RuntimeError(f"{self.name}: {left} bytes are missing")
                left -= count
            self.mib_per_second.append(self.big_mib / (time.perf_counter() - begun))
        self.cpu_seconds.append((self.cpu() - used) * 1024 / self.big_mib)

    def ask(self) -> None:
        """The small file, many times; a connection is used again where it is kept open."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for _ in range(ASKED):
            begun = time.perf_counter()
            client.request("GET", f"{self.path}small", headers=self.headers)
            answer = client.getresponse()
            if answer.status != 200 or len(answer.read()) != SMALL_BYTES:
                raise RuntimeError(f"{self.name}: {answer.status}")
            self.milliseconds.append((time.perf_counter() - begun) * 1000)
        client.close()


class HubStandIn(BaseHTTPRequestHandler):
    """Says that everybody is ada, who may enter; takes reports of activity."""

    def do_GET(self) -> None:
        """Who the token belongs to."""
        self._answer({"name": "ada", "kind": "user", "scopes": ["access:servers!server=ada/bench"]})

    def do_POST(self) -> None:
        """Activity."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer({})

    def _answer(self, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def running(command: list[str], port: int, **environment: str) -> Iterator[psutil.Process]:
    """The program, from when its port answers until the block ends."""
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(1200):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError(f"{command[:3]} ended with {process.returncode}") from None
                time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _told_to_gate(tool: int, gate: int, hub: int) -> dict[str, str]:
    """The environment of a gate before the tool on this port."""
    told = {"title": "Bench", "port": tool, "health": "/small", "identity_port": free_port()}
    return {
        "PETRIHUB_GATE": json.dumps(told),
        "PETRIHUB_DEPLOYMENT": "bench",
        "PETRIHUB_PERSON": "p",
        "PETRIHUB_WORKSPACE": "bench",
        "JUPYTERHUB_USER": "ada",
        "JUPYTERHUB_SERVER_NAME": "bench",
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{gate}{BASE}",
        "JUPYTERHUB_SERVICE_PREFIX": BASE,
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub}/hub/api",
        "JUPYTERHUB_ACTIVITY_URL": f"http://127.0.0.1:{hub}/hub/api/activity",
        "JUPYTERHUB_API_TOKEN": TOKEN,
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-ada-bench",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:servers!server=ada/bench"]',
    }


def write_files(folder: Path) -> Path:
    """What the tools offer; the folder that it lies in."""
    files = folder / "files"
    files.mkdir()
    (files / "small").write_bytes(b"x" * SMALL_BYTES)
    for size in (BIG_MIB, PROXY_MIB):
        with (files / f"big{size}").open("wb") as big:
            for _ in range(size):
                big.write(os.urandom(1 << 10) * 1024)
    os.chmod(folder, 0o755)  # nginx drops root's rights
    return files


@contextmanager
def ways(folder: Path, nginx: str) -> Iterator[list[Way]]:
    """All ways to the two tools, running."""
    tool, gate, plain, jupyter, hub, slower, its_gate = free_ports(7)
    files = write_files(folder)

    def config(name: str, port: int, location: str) -> list[str]:
        path = folder / f"{name}.conf"
        path.write_text(
            NGINX.format(folder=folder, name=name, port=port, tool=tool, location=location)
        )
        return [nginx, "-c", str(path), "-e", str(folder / f"{name}.log")]

    stand_in = ThreadingHTTPServer(("127.0.0.1", hub), HubStandIn)
    threading.Thread(target=stand_in.serve_forever, daemon=True).start()
    server = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"]
    server += [f"--port={jupyter}", f"--IdentityProvider.token={TOKEN}", "--log-level=ERROR"]
    server += [f"--ServerApp.root_dir={folder}", "--ServerApp.port_retries=0"]
    in_python = [sys.executable, "-m", "http.server", str(slower), "--bind=127.0.0.1"]
    in_python += [f"--directory={files}", "--protocol=HTTP/1.1"]
    bearer = {"Authorization": f"token {TOKEN}"}
    command = [sys.executable, "-P", "-m", "petrihub_sidecars", "gate"]
    with ExitStack() as stack:
        stack.callback(stand_in.shutdown)
        stack.enter_context(running(config("tool", tool, f"root {files};"), tool))
        stack.enter_context(running(in_python, slower))
        proxy = stack.enter_context(running(config("plain", plain, PASSES_ON), plain))
        ours = stack.enter_context(running(command, gate, **_told_to_gate(tool, gate, hub)))
        other = stack.enter_context(
            running(command, its_gate, **_told_to_gate(slower, its_gate, hub))
        )
        stock = stack.enter_context(
            running(server, jupyter, JUPYTER_CONFIG_DIR=str(folder), HOME=str(folder))
        )
        yield [
            Way("direct", tool),
            Way("gate", gate, BASE, bearer, before=ours),
            Way("nginx", plain, before=proxy),
            Way(
                "jupyter-server-proxy", jupyter, f"/proxy/{tool}/", bearer, PROXY_MIB, before=stock
            ),
            # it answers in two pieces and so is slower on a connection that is kept: not asked
            Way("http.server, direct", slower, beside="http.server, direct", asks=False),
            Way(
                "http.server, gate",
                its_gate,
                BASE,
                bearer,
                beside="http.server, direct",
                asks=False,
                before=other,
            ),
        ]


def measure(rounds: int, nginx: str) -> dict[str, Any]:
    """All figures of the run; the ways take turns, so that a machine that drifts drifts for all."""
    with tempfile.TemporaryDirectory(prefix="petrihub-gate-") as scratch:
        with ways(Path(scratch), nginx) as all_ways:
            for number in range(rounds + 1):
                for way in all_ways:
                    way.download()
                    if way.asks:
                        way.ask()
                    if not number:  # the first round warms the page cache and what is lazy
                        way.mib_per_second.clear()
                        way.milliseconds.clear()
                        way.cpu_seconds.clear()
                    else:
                        print(f"{way.name:22} {way.mib_per_second[-1]:7.0f} MiB/s", flush=True)
        beside = {way.name: way for way in all_ways}
        latency = {w.name: statistics.median(w.milliseconds) for w in all_ways if w.asks}
        return {
            "download_mib": {way.name: way.big_mib for way in all_ways},
            "mib_per_second": {
                way.name: [round(each) for each in way.mib_per_second] for way in all_ways
            },
            "download_ratio": {
                way.name: round(
                    statistics.median(
                        a / b
                        for a, b in zip(
                            way.mib_per_second, beside[way.beside].mib_per_second, strict=True
                        )
                    ),
                    2,
                )
                for way in all_ways
            },
            "cpu_seconds_per_gib": {
                way.name: round(statistics.median(way.cpu_seconds), 2) for way in all_ways
            },
            "median_ms": {name: round(value, 3) for name, value in latency.items()},
            "added_ms": {
                name: round(value - latency["direct"], 3) for name, value in latency.items()
            },
        }


def main() -> None:
    """Run, print, write the JSON and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nginx", default=shutil.which("nginx") or "/usr/sbin/nginx")
    chosen = parser.parse_args()
    load = os.getloadavg()
    result = measure(chosen.rounds, chosen.nginx)
    write_page(write_result("gate", result, load))


if __name__ == "__main__":
    main()
