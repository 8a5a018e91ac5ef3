"""What people name things is text wherever it is shown (A14); listeners and foreign names (A17)."""

import re
from collections.abc import Iterator

import httpx
import pytest

from petrihub_cli.state import inner_ports
from petrihub_portal.areas import AREAS
from petrihub_portal.routing import Open

from tests.portal.guests import PORTAL, Guest, Site

KINDS = ("announcement", "group", "profile", "request", "token", "workspace")
RUN = re.compile(r"<img src=c14|62710561")


def hostile(kind: str) -> str:
    """A name for a thing of this kind that must stay text, for a browser and for a template."""
    return f'"><img src=c14{kind} onerror=x>{{{{7919*7919}}}}'


def pages() -> list[str]:
    """Every page of the portal for who is signed in that is named without an id."""
    return [
        rule.path
        for area in AREAS
        for rule, _, _ in area.routes
        if rule.method == "GET"
        and rule.needs is not Open.EVERYBODY
        and not rule.is_api
        and "{" not in rule.path
    ]


@pytest.fixture
def profiles(boss: Guest) -> Iterator[None]:
    """All profiles bear the hostile name while the test runs."""
    before = boss.api("GET", "menu").json()
    version = before.pop("version")
    titled = [{**each, "title": hostile("profile")} for each in before["profiles"]]
    saved = boss.api("PUT", "menu", {**before, "profiles": titled, "expected": version})
    assert saved.is_success, saved.text
    yield
    boss.api("PUT", "menu", {**before, "expected": saved.json()["version"]})


@pytest.fixture
def announced(boss: Guest) -> Iterator[None]:
    made = boss.api("POST", "announcements", {"text": hostile("announcement"), "level": "info"})
    assert made.status_code == 201, made.text
    yield
    boss.api("POST", f"announcements/{made.json()['id']}/end")


def name_things(boss: Guest, guest: Guest) -> str:
    """What people name bears the hostile name; gives the group's own one."""
    group = f"g{guest.name}"
    answers = [
        boss.api("POST", "groups", {"name": group, "title": hostile("group")}),
        boss.api("PUT", f"groups/{group}", {"title": hostile("group"), "open_to_requests": True}),
        guest.api(
            "POST",
            "requests",
            {"kind": "group", "subject": group, "reason": hostile("request")},
        ),
        guest.api("POST", "tokens", {"note": hostile("token"), "scopes": ["own"], "days": 1}),
    ]
    guest.client.get("/hub/spawn")
    headers = {"X-XSRFToken": guest.client.cookies.get("_xsrf", path="/hub/") or ""}
    answers += [
        guest.client.put(f"/hub/api/users/{guest.name}/servers/one", headers=headers),
        guest.api("PATCH", "my/workspaces/one", {"title": hostile("workspace")}),
    ]
    assert [each.text for each in answers if each.is_error] == []
    return group


@pytest.mark.usefixtures("profiles", "announced")
def test_what_people_name_is_text_on_every_page(boss: Guest, guest: Guest) -> None:
    group = name_things(boss, guest)
    of_portal = [
        *pages(),
        f"admin/groups/{group}",
        f"admin/people/{guest.name}",
        "workspaces/one/title",
        "workspaces/one/delete",
        f"admin/audit?actor={guest.name}",
    ]
    of_hub = [f"/hub/spawn/{guest.name}/one", f"/user/{guest.name}/one/", "/hub/no-such-page"]
    texts = {
        f"{who.name} {path}": who.get(path).text for path in of_portal for who in (guest, boss)
    }
    texts |= {path: guest.client.get(path).text for path in of_hub}
    assert [where for where, text in texts.items() if RUN.search(text)] == []
    everything = "".join(texts.values())
    assert [kind for kind in KINDS if f"c14{kind}" not in everything] == [], "nowhere to be seen"
    assert "c14workspace" in texts[of_hub[0]], "JupyterHub's own pages show it as well"


def test_no_inner_listener_serves_a_page_that_took_its_address(site: Site, guest: Guest) -> None:
    """A17: a name that leads to loopback brings no cookie and no token of ours with it.

    Portal and proxy refuse the name; the hub shows what anybody may see: a sign-in at most.
    """
    ports = inner_ports(site.deployment)
    evil = {"Host": "evil.example"}
    for part, path in (("portal", PORTAL), ("proxy_api", "/api/routes")):
        where = f"http://127.0.0.1:{ports[part]}{path}"
        assert httpx.get(where, headers=evil, trust_env=False).status_code == 400, part
    for path in (
        "/hub/metrics",
        "/hub/api/proxy",
        "/hub/api/users",
        f"/hub/api/users/{guest.name}",
    ):
        where = f"http://127.0.0.1:{ports['hub']}{path}"
        assert httpx.get(where, headers=evil, trust_env=False).status_code == 403, path
