"""A running workspace of somebody, and what its guests do with it by HTTP and websocket."""

import asyncio
import json
import os
import re
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import httpx
from argon2 import PasswordHasher
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.netutil import DefaultExecutorResolver, OverrideResolver
from tornado.websocket import WebSocketClientConnection, websocket_connect

from petrihub_cli.state import keys
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.records import Account, Person, new_id
from petrihub_portal.origins import origin_of

from tests.platform import PASSWORD
from tests.portal.guests import Guest, Site

START_S = 120.0
WORKSPACE = "rna"
_FORM = re.compile(r'name="(_xsrf|scopes)" value="([^"]*)"')


async def make_guest(site: Site, name: str = "", kind: type[Guest] = Guest) -> Guest:
    """Somebody who can sign in."""
    name = name or f"g{uuid.uuid4().hex[:8]}"
    database = site.database()
    async with database.session() as session:
        person = Person(issuer=LOCAL_ISSUER, subject=new_id(), username=name)
        session.add(person)
        await session.flush()
        password_hash = PasswordHasher(time_cost=1, memory_cost=8192).hash(PASSWORD)
        session.add(Account(person_id=person.id, password_hash=password_hash))
        made = kind(site, person.id, name)
    await database.close()
    return made


@contextmanager
def hub_held(site: Site) -> Iterator[None]:
    """While the block lasts the hub answers nobody."""
    hub = json.loads((site.deployment.state / "hub-process.json").read_text())["pid"]
    os.kill(hub, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(hub, signal.SIGCONT)


@dataclass
class Hub:
    """The hub's own API, with the portal's token."""

    site: Site
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        token = keys(self.site.deployment)["portal_token"]
        self.client = httpx.Client(
            base_url=f"{self.site.deployment.proxy_url}/hub/api/",
            headers={"Authorization": f"token {token}"},
            timeout=60,
            trust_env=False,
        )

    def start(self, owner: Guest, name: str, profile: str = "notebooks") -> None:
        """Start a workspace and wait until it answers."""
        body = {"user_options": {"profile": profile, "size": "small"}}
        answer = self.client.post(f"users/{owner.name}/servers/{name}", json=body)
        assert answer.status_code in (201, 202), answer.text
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            model = self.client.get(f"users/{owner.name}").json()
            server = (model.get("servers") or {}).get(name)
            if server and server["ready"]:
                return
            time.sleep(0.1)
        raise AssertionError(f"{name} is not ready: {model}")

    def shares(self, owner: Guest, name: str) -> dict[str, list[str]]:
        """Whom the hub itself lets in, with the scopes."""
        items = self.client.get(f"shares/{owner.name}/{name}").json()["items"]
        return {item["user"]["name"]: item["scopes"] for item in items}


@dataclass
class Inside:
    """Somebody in a workspace, by the cookies of their browser."""

    guest: Guest
    base: str

    def enter(self) -> httpx.Response:
        """Open JupyterLab as a browser does, and allow it to know who one is; the last answer."""
        self.guest.xsrf or self.guest.sign_in()
        page = self.guest.client.get(f"{self.url}lab")
        if ">Enter</button>" in page.text:
            fields: dict[str, list[str]] = {}
            for key, value in _FORM.findall(page.text):
                fields.setdefault(key, []).append(value)
            page = self.guest.client.post(str(page.url), data=fields)
        return page

    def call(self, method: str, path: str, **more: object) -> httpx.Response:
        """A request as JupyterLab sends it: cookies, and the token against forgery."""
        found = re.search(r"(?:^|; )_xsrf=([^;]*)", self._cookies())
        headers = {"X-XSRFToken": found[1] if found else "", "Referer": f"{self.url}lab"}
        return self.guest.client.request(
            method,
            f"{self.url}{path}",
            headers=headers,
            follow_redirects=False,
            **more,  # type: ignore[arg-type]
        )

    async def socket(self, path: str, origin: str = "") -> WebSocketClientConnection | int:
        """A websocket from a page of `origin`; the status of the answer if there is none."""
        url = urlsplit(f"{self.url}{path}")
        headers = {"Cookie": self._cookies(), "Origin": origin or f"{url.scheme}://{url.netloc}"}
        request = HTTPRequest(
            url.geturl().replace("http", "ws", 1), headers=headers, validate_cert=False
        )
        # names below the tests' own domain are known to our clients only
        names = OverrideResolver(DefaultExecutorResolver(), {url.hostname: "127.0.0.1"})
        try:
            return await websocket_connect(request, resolver=names)
        except HTTPClientError as exc:
            return int(exc.code)

    @property
    def url(self) -> str:
        """The workspace's whole address."""
        owner = unquote(self.base.split("/")[2])
        return (origin_of(self.guest.site.deployment, owner) or self.guest.site.url) + self.base

    def _cookies(self) -> str:
        """As the browser sends them here: those of longer paths first."""
        request = self.guest.client.build_request("GET", self.url)
        self.guest.client.cookies.set_cookie_header(request)
        return request.headers.get("Cookie", "")


@dataclass
class Studio:
    """A running workspace, its owner, and the hub's own view."""

    owner: Guest
    hub: Hub
    site: Site

    @property
    def base(self) -> str:
        return f"/user/{self.owner.name}/{WORKSPACE}/"

    def of(self, guest: Guest) -> Inside:
        return Inside(guest, self.base)

    def share(self, **wanted: object) -> dict[str, str]:
        answer = self.owner.api("POST", f"workspaces/{WORKSPACE}/shares", wanted)
        assert answer.status_code == 201, answer.text
        made: dict[str, str] = answer.json()
        return made

    def let_in(self, guest: Guest, mode: str) -> Inside:
        """Share with somebody who has signed in before, and have them enter."""
        guest.sign_in()
        self.share(kind="person", mode=mode, who=guest.name)
        inside = self.of(guest)
        assert inside.enter().status_code == 200
        return inside

    def end(self, share: str) -> None:
        answer = self.owner.api("DELETE", f"workspaces/{WORKSPACE}/shares/{share}")
        assert answer.status_code == 204, answer.text


def text(words: str) -> dict[str, str]:
    """A text file as the contents API takes it."""
    return {"type": "file", "format": "text", "content": words}


async def closed(socket: WebSocketClientConnection, within: float) -> float:
    """Seconds until the other side closed the websocket; fails if it does not."""
    begun = time.monotonic()
    async with asyncio.timeout(within):
        while await socket.read_message() is not None:
            pass
    return time.monotonic() - begun
