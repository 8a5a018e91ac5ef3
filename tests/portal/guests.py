"""Somebody at a running PetriHub, with a browser that has no screen."""

import re
from dataclasses import dataclass, field

import httpx

from petrihub_core.database import Database
from petrihub_core.deployment import Deployment

from tests.platform import PASSWORD, Up

PORTAL = "/services/portal/"
API = f"{PORTAL}api/v1"
_TOKEN = re.compile(r'name="_xsrf" value="([^"]+)"')
_XSRF = re.compile(r'data-xsrf="([0-9a-f]+)"')


@dataclass
class Site:
    """A running platform."""

    up: Up
    deployment: Deployment

    @property
    def url(self) -> str:
        return self.up.url

    def database(self) -> Database:
        return Database.open(self.deployment.database_url)


@dataclass
class Guest:
    """Somebody with a browser that has no screen; signs in on first use."""

    site: Site
    person_id: str
    name: str
    client: httpx.Client = field(init=False)
    xsrf: str = ""

    def __post_init__(self) -> None:
        self.client = httpx.Client(
            base_url=self.site.url, follow_redirects=True, timeout=60, trust_env=False
        )

    def sign_in(self) -> "Guest":
        """Through the hub's form and OAuth, as a browser does."""
        form = self.client.get("/hub/login")
        token = _TOKEN.search(form.text)
        assert token, form.text
        answer = self.client.post(
            f"/hub/login?next={PORTAL}",
            data={"_xsrf": token[1], "username": self.name, "password": PASSWORD},
        )
        found = _XSRF.search(answer.text)
        assert answer.status_code == 200, answer.text
        assert found, answer.text
        self.xsrf = found[1]
        return self

    def get(self, path: str, **more: object) -> httpx.Response:
        """A page or API route below the portal's prefix."""
        self.xsrf or self.sign_in()
        return self.client.get(f"{PORTAL}{path.lstrip('/')}", **more)  # type: ignore[arg-type]

    def send(self, method: str, path: str, **more: object) -> httpx.Response:
        """A change, with the token that the portal's pages send; redirects are not followed."""
        self.xsrf or self.sign_in()
        return self.client.request(
            method,
            f"{PORTAL}{path.lstrip('/')}",
            headers={"X-XSRFToken": self.xsrf},
            follow_redirects=False,
            **more,  # type: ignore[arg-type]
        )

    def post(self, path: str, data: object = None) -> httpx.Response:
        """A form."""
        return self.send("POST", path, data=data)

    def api(self, method: str, path: str, body: object = None) -> httpx.Response:
        """A call of the REST API with this browser's session."""
        more = {} if body is None else {"json": body}
        return self.send(method, f"api/v1/{path.lstrip('/')}", **more)
