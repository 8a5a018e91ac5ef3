"""A server as deploy/compose makes it, on the private engine, and somebody who works on it."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import docker
import httpx
import psutil
import tomlkit
from tornado.httpclient import HTTPRequest
from tornado.netutil import DefaultExecutorResolver, OverrideResolver
from tornado.websocket import WebSocketClientConnection, websocket_connect

from petrihub_core.deployment import Deployment, read_deployment
from petrihub_core.ports import free_ports
from petrihub_portal.origins import origin_of
from petrihub_spawner.pod.model import DEPLOYMENT_LABEL, WORKSPACE_LABEL

from tests.platform import PASSWORD, petrihub, remove_everything
from tests.portal.fronted import OWN_DOMAIN, ToThisMachine

PORTAL = "/services/portal/"
PARTS = ("hub", "images", "proxy", "portal-1", "portal-2", "postgres", "caddy")
Seen = TypeVar("Seen")
_TOKEN = re.compile(r'name="_xsrf" value="([^"]+)"')


@dataclass
class Server:
    """An installation in `folder`; commands are those of the documentation."""

    folder: Path
    socket: str

    @property
    def deployment(self) -> Deployment:
        return read_deployment(self.folder / "petrihub.toml")

    @property
    def url(self) -> str:
        return self.deployment.public_url

    def browser(self, **more: Any) -> httpx.Client:
        """A browser without a screen, to which the domain and the names below it lead here."""
        return httpx.Client(
            base_url=self.url, transport=ToThisMachine(), **{"timeout": 30.0, **more}
        )

    @property
    def engine(self) -> Any:
        return docker.APIClient(base_url=f"unix://{self.socket}", version="auto", timeout=60)

    def init(self) -> None:
        """`petrihub init`; run again it keeps what is there."""
        command = petrihub("init", self.folder, "--domain", OWN_DOMAIN, "--socket", self.socket)
        subprocess.run(command, check=True)

    def choose_ports(self) -> None:
        """Those of now, so that the test takes nobody's place: a build takes minutes."""
        (self.folder / "ports.json").unlink()
        self.init()
        file = self.folder / "petrihub.toml"
        settings = tomlkit.parse(file.read_text())
        taken = json.loads((self.folder / "ports.json").read_text()).values()
        https, http, *_ = (each for each in free_ports(2 + len(taken)) if each not in taken)
        settings["front"]["https_port"] = https  # type: ignore[index]
        settings["front"]["http_port"] = http  # type: ignore[index]
        file.write_text(tomlkit.dumps(settings))

    def look_often(self) -> None:
        """Health is looked at every 2 s here, so that tests need not wait for the next look."""
        often = {"healthcheck": {"interval": "2s"}}
        override = json.dumps({"services": dict.fromkeys(PARTS, often)})
        (self.folder / "compose.override.yaml").write_text(override)

    def build(self) -> None:
        bundle = Path("/etc/ssl/certs/ca-certificates.crt")
        more = ["--ca-bundle", bundle] if bundle.exists() else []
        images = ("base", "front", "platform", "postgres", "sidecars")
        command = petrihub("images", "build", *images, "--state", self.folder)
        subprocess.run([*command, "--socket", self.socket, *map(str, more)], check=True)

    def compose(self, *arguments: str) -> str:
        done = subprocess.run(
            ["docker-compose", *arguments],
            cwd=self.folder,
            env={**os.environ, "DOCKER_HOST": f"unix://{self.socket}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def container(self, part: str) -> dict[str, Any]:
        """What the engine knows of the container of a part."""
        project = re.search(r"COMPOSE_PROJECT_NAME=(\S+)", (self.folder / ".env").read_text())
        assert project
        found: dict[str, Any] = self.engine.inspect_container(f"{project[1]}_{part}_1")
        return found

    def workspaces(self) -> list[str]:
        """Ids of the main containers of workspaces that run; helpers are in their network."""
        # not those that only count what is in a home: they come and go by themselves
        mine = {"label": [f"{DEPLOYMENT_LABEL}={self.deployment.id}", WORKSPACE_LABEL]}
        return sorted(
            each["Id"]
            for each in self.engine.containers(filters=mine)
            if not each["HostConfig"]["NetworkMode"].startswith("container:")
        )

    def kill(self, part: str) -> None:
        """End the part's first process as a crash does, so that the engine starts it again."""
        os.kill(self.container(part)["State"]["Pid"], signal.SIGKILL)

    def is_well(self, part: str) -> bool:
        """Whether the part runs and says that it is well."""
        state = self.container(part)["State"]
        return bool(state["Running"] and state["Health"]["Status"] == "healthy")

    def restarted(self, part: str, before: str) -> bool:
        """Whether the part runs again, since another moment than `before`, and is well."""
        return self.container(part)["State"]["StartedAt"] != before and self.is_well(part)

    def unexpected(self) -> str:
        """What the portals' logs say of errors that they had no words for."""
        lines = self.compose("logs", "--no-color", "portal-1", "portal-2").splitlines()
        return "\n".join(line for line in lines if "unexpected error" in line)

    def end(self) -> None:
        """Remove all of it from the engine."""
        self.compose("down", "--timeout", "5")
        remove_everything(self.engine, self.deployment.id)


@dataclass
class Worker:
    """Somebody with a browser that has no screen, a workspace and a kernel in it."""

    server: Server
    name: str
    client: httpx.Client = field(init=False)
    kernel: str = ""

    def __post_init__(self) -> None:
        self.client = self.server.browser(follow_redirects=True)

    def redeem(self, link: str) -> None:
        """Become the first administrator, as the page of the link does."""
        code = urlsplit(link).fragment
        page = self.client.get("/hub/welcome").text
        token = _TOKEN.search(page)
        assert token, page
        form = {"_xsrf": token[1], "step": "join", "code": code, "username": self.name}
        answer = self.client.post(
            "/hub/welcome", data={**form, "password": PASSWORD, "again": PASSWORD}
        )
        assert answer.status_code == 200, answer.text

    def is_in(self) -> bool:
        """Whether the home page knows this browser, without another sign-in."""
        try:
            page = self.client.get(PORTAL)
        except httpx.TransportError:
            return False
        assert "/hub/login" not in str(page.url), "signed out"
        return page.status_code == 200 and f'data-user="{self.name}"' in page.text

    def hub_knows(self) -> bool:
        """Whether the hub's own pages come, without another sign-in."""
        try:
            page = self.client.get("/hub/token")
        except httpx.TransportError:
            return False
        return page.status_code == 200 and f'data-user="{self.name}"' in page.text

    @property
    def root(self) -> str:
        """The workspace, at this person's own origin."""
        return f"{origin_of(self.server.deployment, self.name)}/user/{self.name}/study"

    def start_workspace(self) -> None:
        """By the form of the hub's own start page; then wait for it."""
        where = f"/hub/spawn/{self.name}/study"
        token = _TOKEN.search(self.client.get(where).text)
        assert token
        form = {"_xsrf": token[1], "profile": "notebooks", "size": "small"}
        answer = self.client.post(where, data=form, headers={"Referer": self.server.url + where})
        assert answer.status_code == 200, answer.text
        until(self.lab_opens, 180)

    def api(self, method: str, path: str, body: object = None) -> Any:
        """A call of the portal's REST API, as its pages make it."""
        found = re.search(r'data-xsrf="([0-9a-f]+)"', self.client.get(PORTAL).text)
        assert found
        answer = self.client.request(
            method,
            f"{PORTAL}api/v1/my/{path}",
            headers={"X-XSRFToken": found[1]},
            **({} if body is None else {"json": body}),
        )
        assert answer.is_success, answer.text
        return answer.json()

    def lab_opens(self) -> bool:
        """Whether JupyterLab's page comes; its sign-in gives the cookies of the workspace."""
        page = self.client.get(f"{self.root}/lab")
        return page.status_code == 200 and str(page.url).startswith(f"{self.root}/lab")

    def lab_answers(self) -> bool:
        """Whether the workspace answers, without another sign-in."""
        try:
            page = self.client.get(f"{self.root}/api/status")
        except httpx.TransportError:
            return False
        return page.status_code == 200 and "kernels" in page.text

    def send(self, method: str, path: str, body: object) -> Any:
        """A call of the workspace's own API with this browser's cookies."""
        xsrf = re.search(r"(?:^|; )_xsrf=([^;]*)", self._cookies())
        assert xsrf
        answer = self.client.request(
            method, f"{self.root}/{path}", json=body, headers={"X-XSRFToken": xsrf[1]}
        )
        assert answer.is_success, answer.text
        return answer.json()

    def _cookies(self) -> str:
        """As a browser sends them to the workspace."""
        request = self.client.build_request("GET", f"{self.root}/")
        self.client.cookies.set_cookie_header(request)
        return request.headers["Cookie"]

    def start_kernel(self) -> None:
        self.kernel = self.send("POST", "api/kernels", {"name": "python3"})["id"]

    async def connect(self) -> WebSocketClientConnection:
        """A websocket to the kernel, as JupyterLab keeps one."""
        url = urlsplit(f"{self.root}/api/kernels/{self.kernel}/channels")
        origin = f"{url.scheme}://{url.netloc}"
        return await websocket_connect(
            HTTPRequest(
                url._replace(scheme="wss").geturl(),
                headers={"Cookie": self._cookies(), "Origin": origin},
                validate_cert=False,
            ),
            resolver=OverrideResolver(DefaultExecutorResolver(), {url.hostname: "127.0.0.1"}),
        )

    async def run(self, socket: WebSocketClientConnection, code: str) -> str:
        """What `code` prints in the kernel."""
        mark = f"{time.monotonic_ns():x}"
        header = {"msg_id": mark, "msg_type": "execute_request", "version": "5.3"}
        content = {"code": code, "silent": False}
        message = {"header": header, "content": content, "metadata": {}, "parent_header": {}}
        await socket.write_message(json.dumps({**message, "channel": "shell"}))
        printed = ""
        while True:
            text = await socket.read_message()
            assert text is not None, "the websocket was closed"
            said = json.loads(text)
            if said["parent_header"].get("msg_id") != mark:
                continue
            if said["msg_type"] == "stream":
                printed += said["content"]["text"]
            if said["msg_type"] == "status" and said["content"]["execution_state"] == "idle":
                return printed.strip()


def of_each(first: int, look: Callable[[psutil.Process], Seen]) -> list[Seen]:
    """What is seen at this process and at all below it.

    One that ends meanwhile is left out: PostgreSQL has one for each connection.
    """
    top = psutil.Process(first)
    seen = [look(top)]
    for each in top.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            seen.append(look(each))
    return seen


def until(happened: Any, within: float, every: float = 0.2) -> float:
    """Wait for it; the seconds that it took."""
    begun = time.monotonic()
    while not happened():
        assert time.monotonic() - begun < within, f"not within {within} s"
        time.sleep(every)
    return time.monotonic() - begun
