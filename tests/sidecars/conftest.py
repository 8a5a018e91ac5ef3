"""Fixtures of the gate's tests.

hub       a real JupyterHub with its proxy (this folder); its servers are gates
gated     a tool and the running gate before it, which belongs to ada (this folder)
visitor   makes browsers of people: cookies, redirects, fetch metadata as Chromium sends them
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from petrihub_core.records import new_id

from tests.platform import ports_in_a_row

HERE = Path(__file__).parent
PATIENCE = 60.0
PAGE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}


def until(ready: Callable[[], Any], what: str) -> Any:
    """The first true answer."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := ready():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE} s: {what}")


@dataclass
class Hub:
    folder: Path
    port: int
    token: str = field(default_factory=lambda: "tester-" + new_id())
    process: "subprocess.Popen[bytes] | None" = None
    domain: str = ""  # with people's own origins below it, by HTTPS

    @property
    def url(self) -> str:
        return (
            f"https://{self.domain}:{self.port}" if self.domain else f"http://127.0.0.1:{self.port}"
        )

    def ask(self, method: str, path: str, **body: Any) -> httpx.Response:
        return httpx.request(
            method,
            f"http://127.0.0.1:{self.port + 1}/hub/api/{path}",
            headers={"Authorization": f"token {self.token}"},
            json=body or None,
            timeout=PATIENCE,
            trust_env=False,
        )

    def start(self) -> None:
        log = (self.folder / "hub.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", HERE / "hub_config.py"],
            cwd=self.folder,
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                "TEST_FOLDER": str(self.folder),
                "TEST_HUB_PORT": str(self.port),
                "TEST_HUB_TOKEN": self.token,
                "TEST_DOMAIN": self.domain,
            },
        )

        def up() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log
            try:
                return self.ask("GET", "info").is_success
            except httpx.TransportError:
                return False

        until(up, f"the hub:\n{self.log}")

    @property
    def log(self) -> str:
        return (self.folder / "hub.log").read_text()

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(PATIENCE)


@pytest.fixture(scope="package")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    made = Hub(tmp_path_factory.mktemp("hub"), ports_in_a_row(3))
    made.start()
    for name in ("ada", "bob", "cyd"):
        assert made.ask("POST", f"users/{name}").is_success
    yield made
    made.stop()


@dataclass
class Gated:
    """One workspace: a tool, its gate, and the ports of both."""

    hub: Hub
    name: str
    tool_port: int
    identity_port: int
    tool: "subprocess.Popen[bytes] | None" = None

    @property
    def path(self) -> str:
        return f"/user/ada/{self.name}/"

    @property
    def url(self) -> str:
        return self.hub.url + self.path

    @property
    def log(self) -> Path:
        """What the tool writes."""
        return self.hub.folder / f"{self.name}.log"

    @property
    def direct(self) -> str:
        """Where the proxy reaches the gate."""
        return str(self._routes()[self.path.rstrip("/")]["target"]).rstrip("/")

    def _routes(self) -> dict[str, dict[str, str]]:
        routes: dict[str, dict[str, str]] = httpx.get(
            f"http://127.0.0.1:{self.hub.port + 2}/api/routes",
            headers={"Authorization": f"token {self.hub.token}"},
            trust_env=False,
        ).json()
        return routes

    def last_activity(self) -> datetime:
        """As the hub has it, by which it stops what nobody uses."""
        server = self.hub.ask("GET", "users/ada").json()["servers"][self.name]
        return datetime.fromisoformat(server["last_activity"])

    def counted_by_proxy(self) -> datetime:
        """The last byte that the routing proxy passed on."""
        route = self._routes()[self.path.rstrip("/")]
        return datetime.fromisoformat(route["last_activity"])

    def start_tool(self, *, address: str = "127.0.0.1") -> None:
        with self.log.open("ab") as log:
            self.tool = subprocess.Popen(
                [sys.executable, HERE / "tool.py", str(self.tool_port), address],
                cwd=self.hub.folder,
                stdout=log,
            )

        def up() -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{self.tool_port}/", trust_env=False).is_success
            except httpx.TransportError:
                return False

        until(up, "the tool")

    def end_tool(self) -> None:
        if self.tool is not None:
            self.tool.kill()
            self.tool.wait()
            self.tool = None

    def start_gate(self, *, public_url: str = "", tells_use: bool = True, **more: Any) -> None:
        gate = {"title": "Echo", "port": self.tool_port, "identity_port": self.identity_port}
        environment = {"JUPYTERHUB_PUBLIC_URL": public_url} if public_url else {}
        told = {"gate": {**gate, **more}, "environment": environment, "tells_use": tells_use}
        (self.hub.folder / f"{self.name}.json").write_text(json.dumps(told))
        started = self.hub.ask("POST", f"users/ada/servers/{self.name}")
        assert started.status_code in (201, 202), started.text

        def ready() -> bool:
            servers = self.hub.ask("GET", "users/ada").json()["servers"]
            return bool(servers.get(self.name, {}).get("ready"))

        until(ready, f"the gate:\n{self.hub.log}")

    def end(self) -> None:
        self.hub.ask("DELETE", f"users/ada/servers/{self.name}")
        self.end_tool()


@pytest.fixture(scope="package")
def new_gated(hub: Hub) -> Iterator[Callable[..., Gated]]:
    made: list[Gated] = []

    def make(name: str) -> Gated:
        port = ports_in_a_row(2)
        gated = Gated(hub, name, tool_port=port, identity_port=port + 1)
        made.append(gated)
        return gated

    yield make
    for each in made:
        each.end()


@pytest.fixture(scope="package")
def gated(new_gated: Callable[..., Gated]) -> Gated:
    one = new_gated("one")
    one.start_tool()
    one.start_gate()
    return one


class Visitor(httpx.Client):
    """A person's browser, as far as HTTP shows it."""

    def __init__(self, hub: Hub, name: str, **more: Any) -> None:
        super().__init__(
            base_url=hub.url, follow_redirects=True, timeout=PATIENCE, trust_env=False, **more
        )
        self.hub, self.name = hub, name

    @property
    def origin(self) -> str:
        return self.hub.url

    def sign_in(self) -> None:
        page = self.get("/hub/login", headers=PAGE)
        token = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
        assert token, page.text
        answer = self.post(
            "/hub/login",
            params={"next": "/hub/home"},
            data={"username": self.name, "password": "x", "_xsrf": token[1]},
            headers=PAGE,
        )
        assert answer.is_success, answer.text

    def open(self, path: str) -> httpx.Response:
        """Navigate there; a page of the hub that asks for consent is answered with yes."""
        page = self.get(path, headers=PAGE)
        if "/oauth2/authorize" in page.url.path and page.is_success:
            token = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
            assert token, page.text
            scopes = re.findall(r'name="scopes"[^>]*?value="([^"]+)"', page.text, re.DOTALL)
            page = self.post(
                str(page.url),
                data={"scopes": scopes, "_xsrf": token[1]},
                headers={**PAGE, "Referer": str(page.url), "Origin": self.origin},
            )
        return page

    def fetch(self, method: str, path: str, **more: Any) -> httpx.Response:
        """What a script of a page of the same origin does."""
        headers = {
            "Sec-Fetch-Mode": "cors",
            "Sec-Fetch-Site": "same-origin",
            "Origin": self.origin,
            **more.pop("headers", {}),
        }
        return self.request(method, path, headers=headers, **more)

    def cookie_header(self, path: str) -> str:
        """The cookies that this browser would send there."""
        return self.build_request("GET", path).headers.get("Cookie", "")


@pytest.fixture
def visitor(hub: Hub) -> Iterator[Callable[..., Visitor]]:
    made: list[Visitor] = []

    def make(name: str, *, signed_in: bool = True) -> Visitor:
        one = Visitor(hub, name)
        made.append(one)
        if signed_in:
            one.sign_in()
        return one

    yield make
    for each in made:
        each.close()


def host_of(url: str) -> str:
    """Host and port, as the Host header has them."""
    return urlsplit(url).netloc
