"""Each person's workspaces at an origin of their own: what answers there, and who is let in."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tornado.websocket import WebSocketClientConnection

from petrihub_cli.state import inner_ports
from petrihub_core.deployment import parse_deployment
from petrihub_portal.origins import all_origins, origin_of, subdomain_hook

from tests.portal.fronted import OWN_DOMAIN, Fronted, HttpsGuest
from tests.portal.guests import PORTAL, Guest
from tests.portal.workspaces import WORKSPACE, Hub, Studio, closed, make_guest, text

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize(
    ("name", "label"), [("ada", "ada"), ("ada-b", "ada-b"), ("7", "u-7--7902699")]
)
def test_people_get_a_label_and_services_stay_on_the_domain(name: str, label: str) -> None:
    assert subdomain_hook(name, "hub.example.org", "user") == f"{label}.hub.example.org"
    assert subdomain_hook(name, "hub.example.org", "service") == "hub.example.org"


def test_two_people_never_share_a_label() -> None:
    names = ["ada.b", "ada_b", "adab", "ada-b", "ada--b", "u-adab--0000000", "-ada", "ada-", "1"]
    hosts = [subdomain_hook(name, "x.org", "user") for name in names]
    assert len(set(hosts)) == len(names)
    assert {host.count(".") for host in hosts} == {2}


@pytest.mark.parametrize(
    ("front", "ada", "everybody"),
    [
        ('kind = "caddy"\ndomain = "h.org"', "https://ada.h.org", "https://*.h.org"),
        (
            'kind = "outside"\ndomain = "h.org"\nhttps_port = 8443',
            "https://ada.h.org:8443",
            "https://*.h.org:8443",
        ),
        ('kind = "caddy"\ndomain = "h.org"\nsubdomains = false', "", ""),
        ('domain = "h.org"\nsubdomains = true', "", ""),
    ],
)
def test_a_domain_brings_origins_unless_they_are_switched_off(
    front: str, ada: str, everybody: str, tmp_path: Path
) -> None:
    deployment = parse_deployment(f"[front]\n{front}", tmp_path / "petrihub.toml")
    assert (origin_of(deployment, "ada"), all_origins(deployment)) == (ada, everybody)


@pytest.fixture(scope="module")
def studio(origins: Fronted) -> Iterator[Studio]:
    """A running workspace of somebody who has it open."""
    owner = asyncio.run(make_guest(origins, kind=HttpsGuest)).sign_in()
    made = Studio(owner, Hub(origins), origins)
    made.hub.start(owner, WORKSPACE)
    assert made.of(owner).enter().status_code == 200
    yield made
    made.hub.client.close()


@pytest.fixture
async def bob(origins: Fronted) -> Guest:
    return await make_guest(origins, kind=HttpsGuest)


async def ask_kernel(socket: WebSocketClientConnection) -> str | bytes | None:
    """Its answer to who it is."""
    header = {"msg_id": "1", "msg_type": "kernel_info_request", "version": "5.3"}
    message = {"header": header, "content": {}, "metadata": {}, "parent_header": {}}
    await socket.write_message(json.dumps({**message, "channel": "shell"}))
    while (said := await socket.read_message()) is not None:
        if "kernel_info_reply" in str(said):
            return said
    return None


def at(guest: Guest, origin: str, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    return guest.client.request(method, f"{origin}{path}", headers=headers, follow_redirects=False)


@pytest.mark.parametrize(
    "path", ["/", "/hub/login", "/hub/api/user", "/hub/logout", PORTAL, f"{PORTAL}api/v1/me"]
)
def test_a_person_s_origin_has_workspaces_and_nothing_else(
    studio: Studio, bob: Guest, path: str
) -> None:
    origin = origin_of(studio.site.deployment, studio.owner.name)
    led = at(bob, origin, path)
    assert (led.status_code, led.headers["location"]) == (302, f"{studio.site.url}{path}")
    assert "set-cookie" not in led.headers
    assert at(bob, origin, path, "POST").status_code == 404
    assert at(bob, origin, path, **{"Sec-Fetch-Site": "same-site"}).status_code == 302


@pytest.mark.parametrize(
    "host", [f"a.b.{OWN_DOMAIN}", f"-a.{OWN_DOMAIN}", f"a{OWN_DOMAIN}", "ada.evil.example"]
)
def test_one_label_below_the_domain_is_known_and_no_other_name(
    origins: Fronted, bob: Guest, host: str
) -> None:
    for base in (origins.url, origins.deployment.proxy_url):
        assert at(bob, base, "/hub/login", Host=host).status_code == 400


def test_the_portal_itself_answers_at_no_person_s_name(studio: Studio, bob: Guest) -> None:
    port = inner_ports(studio.site.deployment)["portal"]
    base = f"http://127.0.0.1:{port}"
    alive = f"{PORTAL}api/v1/alive"
    assert at(bob, base, alive, Host=OWN_DOMAIN).status_code == 200
    assert at(bob, base, alive, Host=f"ada.{OWN_DOMAIN}").status_code == 400


def test_every_way_to_a_workspace_ends_at_its_owner_s_origin(studio: Studio, bob: Guest) -> None:
    here = studio.of(studio.owner)
    others = origin_of(studio.site.deployment, bob.name)
    for start in (here.url, f"{studio.site.url}{here.base}", f"{others}{here.base}"):
        page = studio.owner.client.get(f"{start}lab")
        assert (page.status_code, str(page.url.copy_with(query=None))) == (200, f"{here.url}lab")
    [listed] = studio.owner.api("GET", "my/workspaces").json()["workspaces"]
    assert listed["url"] == here.url


def test_no_cookie_that_opens_something_leaves_its_origin(studio: Studio) -> None:
    jar = studio.owner.client.cookies.jar
    wide = {each.name for each in jar if each.domain_specified}
    assert wide == {"jupyterhub-session-id"}  # a number for this browser, which opens nothing
    mine = f"__Host-jupyterhub-user-{studio.owner.name}-{WORKSPACE}"
    for name in ("__Host-petrihub-portal", "__Host-jupyterhub-hub-login", mine):
        [cookie] = [each for each in jar if each.name == name]
        assert (cookie.path, cookie.secure) == ("/", True)


@pytest.mark.parametrize(
    ("method", "headers", "refused"),
    [
        ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, True),
        ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, True),
        ("POST", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}, True),
        ("OPTIONS", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, True),
        ("POST", {"Origin": "theirs"}, True),  # from a browser that does not say more
        ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}, False),
        ("GET", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, False),
        ("GET", {}, False),
    ],
)
def test_what_a_page_of_another_origin_asks_is_refused(
    studio: Studio, bob: Guest, method: str, headers: dict[str, str], refused: bool
) -> None:
    theirs = origin_of(studio.site.deployment, bob.name)
    sent = {name: theirs if value == "theirs" else value for name, value in headers.items()}
    inside = studio.of(studio.owner)
    for origin, path in ((studio.site.url, "/hub/home"), (inside.url, "api/status")):
        answer = at(studio.owner, origin, path, method, **sent)
        words = "A page of another address asked for this"
        assert (answer.status_code == 403 and words in answer.text) is refused, answer.text


async def test_kernels_answer_their_owner_s_pages_and_no_other(studio: Studio, bob: Guest) -> None:
    inside = studio.of(studio.owner)
    kernel = (await asyncio.to_thread(inside.call, "POST", "api/kernels", json={})).json()["id"]
    channels = f"api/kernels/{kernel}/channels"
    socket = await inside.socket(channels)
    assert not isinstance(socket, int)
    assert "kernel_info" in str(await ask_kernel(socket))
    socket.close()
    for other in (origin_of(studio.site.deployment, bob.name), studio.site.url, "https://a.test"):
        assert await inside.socket(channels, origin=other) == 403


async def test_a_guest_looks_works_and_is_out_at_once(studio: Studio, bob: Guest) -> None:
    inside = studio.let_in(bob, "view")
    [shared] = bob.api("GET", "shares").json()
    assert (shared["url"], shared["ready"]) == (inside.url, True)
    assert inside.call("PUT", "api/contents/b.txt", json=text("x")).status_code == 403
    made = studio.share(kind="person", mode="work", who=bob.name)
    assert inside.call("PUT", "api/contents/b.txt", json=text("x")).status_code == 201
    terminal = inside.call("POST", "api/terminals", json={}).json()["name"]
    socket = await inside.socket(f"terminals/websocket/{terminal}")
    assert not isinstance(socket, int)
    here = studio.owner.api("GET", f"workspaces/{WORKSPACE}/guests").json()
    assert [each["name"] for each in here if each["connections"]] == [bob.name]
    ending = asyncio.create_task(asyncio.to_thread(studio.end, made["id"]))
    await closed(socket, within=8)
    await ending
    assert inside.call("GET", "api/contents").status_code == 403


async def test_a_guest_who_comes_by_a_link_is_led_to_the_owner_s_origin(
    studio: Studio, bob: Guest
) -> None:
    inside = studio.of(bob)
    assert inside.enter().status_code in (403, 404)
    made = studio.share(kind="link", mode="view", hours=1)
    page = bob.post("join", {"code": made["code"]})
    assert f'href="{inside.url}"' in page.text
    assert page.headers["content-security-policy"].endswith(
        f"form-action 'self' {all_origins(studio.site.deployment)}"
    )
    assert inside.enter().status_code == 200
    studio.end(made["id"])
    assert inside.call("GET", "api/contents").status_code == 403


def test_cookies_that_were_left_for_the_whole_domain_are_taken_away(studio: Studio) -> None:
    tossed = {"Cookie": "_xsrf=a; _xsrf=b; jupyterhub-session-id=c; jupyterhub-session-id=d"}
    answer = at(studio.owner, studio.site.url, "/hub/login", **tossed)
    ended = [each for each in answer.headers.get_list("set-cookie") if "Max-Age=0" in each]
    paths = {each.split(";")[2].strip() for each in ended if each.startswith("_xsrf=")}
    assert paths == {f"Path={path}" for path in ("/", "/hub", "/hub/", "/hub/login", "/hub/login/")}
    assert {each.split(";")[1].strip() for each in ended} == {f"Domain={OWN_DOMAIN}"}
    kept = f"jupyterhub-session-id=; Domain={OWN_DOMAIN}; Path=/; Max-Age=0; Secure"
    assert kept not in ended  # the hub's own
    fetched = {**tossed, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    quiet = at(studio.owner, studio.site.url, "/hub/login", **fetched)
    assert "Max-Age=0" not in str(quiet.headers.get_list("set-cookie"))
