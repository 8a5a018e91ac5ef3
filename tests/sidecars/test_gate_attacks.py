"""Attacks on the gate, by the rows of our attack catalogue (A1 to A12): each is refused.

The tool behind it counts what reaches it; a refused request has not been there.
"""

import itertools
import json
import re
from collections.abc import Callable

import httpx
import pytest

from tests.sidecars.conftest import PAGE, Gated, Hub, Visitor, host_of
from tests.sidecars.wire import Handshake, exchange, status

People = Callable[..., Visitor]


@pytest.fixture
def ada(visitor: People, gated: Gated) -> Visitor:
    one = visitor("ada")
    assert one.open(gated.path).is_success
    return one


@pytest.fixture(scope="module")
def secure(new_gated: Callable[..., Gated]) -> Gated:
    """A gate that was told that browsers come by HTTPS."""
    one = new_gated("secure")
    one.start_tool()
    one.start_gate(public_url="https://hub.example.org/")
    return one


# --- A1: somebody else ---------------------------------------------------------------------------


def test_a1_another_person_is_shown_a_page_and_nothing_of_the_tool(
    gated: Gated, visitor: People
) -> None:
    bob = visitor("bob")
    page = bob.open(gated.path)
    # already the hub refuses to vouch for them; without its word the gate knows nobody
    assert page.status_code == 403
    assert '"uri"' not in page.text
    for method in ("GET", "POST", "DELETE"):
        answer = bob.fetch(method, gated.path)
        assert answer.status_code in (401, 403)
        assert '"uri"' not in answer.text


def test_a1_a_token_of_another_person_or_workspace_opens_nothing(
    hub: Hub, gated: Gated, secure: Gated
) -> None:
    other = hub.ask("POST", "users/bob/tokens").json()["token"]
    beside = hub.ask(
        "POST", "users/ada/tokens", scopes=[f"access:servers!server=ada/{secure.name}"]
    ).json()["token"]
    for token in (other, beside, "made-up"):
        answer = httpx.get(
            gated.url + "x", headers={"Authorization": f"Bearer {token}"}, trust_env=False
        )
        assert answer.status_code in (401, 403)
        assert "uri" not in answer.text


# --- A2: paths -----------------------------------------------------------------------------------

_UP = ("..", "%2e%2e", "%252e%252e", ".%2e", "..%00", "..;", "%c0%ae%c0%ae", "\\..", "%5c..")
_SLASH = ("/", "//", "%2f", "\\")
_OWN = ("petrihub-gate/health", "petrihub-gate/gate.css", "oauth_callback")


def written(gated: Gated) -> set[str]:
    """Many ways to write an address that a careless reader takes for an open one."""
    base = gated.path
    made = {f"{base}{_OWN[0]}{s}{up}{s}x" for s, up in itertools.product(_SLASH, _UP)}
    made |= {f"{base}{up}{s}one{s}x" for s, up in itertools.product(_SLASH, _UP)}
    made |= {f"/user/ada{s}{up}{s}ada/one/x" for s, up in itertools.product(_SLASH, _UP)}
    made |= {f"{base}{own}{end}" for own in _OWN[:2] for end in ("/", "?x", ";x", "%00", "%20")}
    made |= {"/user/ADA/one/x", "/user/%61da/one/x", "//user/ada/one/x", "/user/ada%2fone/x"}
    made |= {f"http://127.0.0.1{base}x", f"http://evil.test{base}x", "*", "/", f"{base}\u00e4"}
    return made


def test_a2_however_an_address_is_written_nobody_gets_past_without_a_name(gated: Gated) -> None:
    opened = {}
    for path in sorted(written(gated)):
        sent = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = exchange(gated.direct, sent.encode())
        body = answer.partition(b"\r\n\r\n")[2]
        harmless = status(answer) in (400, 401, 404, 0) or path.endswith("?x")
        if not harmless or b'"uri"' in body:
            opened[path] = answer[:200]
    assert opened == {}


# --- A4: two readings of one request -------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 4\r\nContent-Length: 5",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding : chunked",
        "Content-Length: +4",
        "Content-Length: 0x4",
        "X: y\r\n folded: z\r\nContent-Length : 4",
        "X: a\x00b",
        "X: y\nTransfer-Encoding: chunked\r\nContent-Length: 4",
    ],
)
def test_a4_a_request_with_two_readings_is_refused_and_the_connection_closed(
    hub: Hub, gated: Gated, head: str
) -> None:
    token = hub.ask("POST", "users/ada/tokens").json()["token"]
    smuggled = f"GET {gated.path}smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    sent = (
        f"POST {gated.path}first HTTP/1.1\r\nHost: {host_of(gated.direct)}\r\n"
        f"Authorization: token {token}\r\n{head}\r\n\r\n0\r\n\r\n{smuggled}"
    )
    for address in (gated.direct, hub.url):  # the gate, and the proxy before it
        answer = exchange(address, sent.encode("latin1"))
        assert b"smuggled" not in answer
        assert b"first" not in answer
        assert status(answer) in (400, 0), address


def test_a4_a_second_request_on_the_connection_does_not_ride_on_the_first(
    hub: Hub, gated: Gated
) -> None:
    token = hub.ask("POST", "users/ada/tokens").json()["token"]
    first = f"GET {gated.path}first HTTP/1.1\r\nHost: x\r\nAuthorization: token {token}\r\n\r\n"
    second = f"GET {gated.path}second HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = exchange(gated.direct, (first + second).encode())
    assert b'"/first"' in answer
    assert b'"/second"' not in answer


# --- A5: who somebody says they are --------------------------------------------------------------

_FORGED = [
    *("X-Forwarded-User", "X_Forwarded_User", "x-forwarded-USER", "X-Forwarded-For"),
    *("X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "Forwarded", "X-Real-IP"),
    *(
        "X_Real_IP",
        "Remote-User",
        "REMOTE_USER",
        "Remote-Email",
        "X-Remote-User",
        "X-Auth-Request-User",
    ),
    *("X-Auth-Token", "X-WebAuth-User", "X-PetriHub-Identity", "X_PetriHub_Identity"),
    *("x-petrihub-anything", "X-JupyterHub-User", "X-Original-URL", "X-Rewrite-URL", "X-User"),
    *("X-Script-Name", "True-Client-IP", "X-SSL-Client-DN", "Proxy-Authorization", "Via"),
]


def test_a5_no_header_of_the_client_tells_the_tool_who_comes(gated: Gated, ada: Visitor) -> None:
    for nominated in ("", "X-PetriHub-Identity, X-Forwarded-Prefix, Cookie, X-Mine"):
        headers = {
            **dict.fromkeys(_FORGED, "victim"),
            "X-Mine": "kept?",
            "X-Ours-Not": "kept",
            **({"Connection": nominated} if nominated else {}),
        }
        # as the proxy passes it on: straight to the gate, nothing tidied up before
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        sent = (
            f"GET {gated.path}x HTTP/1.1\r\nHost: {host_of(gated.hub.url)}\r\n"
            f"Cookie: {ada.cookie_header(gated.path)}\r\n{lines}\r\n"
        )
        body = exchange(gated.direct, sent.encode()).partition(b"\r\n\r\n")[2]
        seen = [(name.lower(), value) for name, value in json.loads(body)["headers"]]
        assert [name for name, value in seen if value == "victim"] == []
        assert [name for name, _ in seen].count("x-petrihub-identity") == 1
        assert dict(seen)["x-forwarded-prefix"] == gated.path.rstrip("/")
        assert ("x-ours-not", "kept") in seen
        assert (("x-mine", "kept?") in seen) == (nominated == "")


def test_a5_a_signed_identity_of_another_workspace_is_replaced(
    gated: Gated, ada: Visitor, secure: Gated, hub: Hub
) -> None:
    token = hub.ask("POST", "users/ada/tokens").json()["token"]
    other = httpx.get(secure.url, headers={"Authorization": f"token {token}"}, trust_env=False)
    foreign = dict(other.json()["headers"])["X-Petrihub-Identity"]
    answer = ada.fetch("GET", gated.path, headers={"X-PetriHub-Identity": foreign})
    signed = [
        value for name, value in answer.json()["headers"] if name.lower() == "x-petrihub-identity"
    ]
    assert len(signed) == 1
    assert signed[0] != foreign


# --- A7, A8: websockets --------------------------------------------------------------------------


def opened(gated: Gated) -> int:
    count: int = httpx.get(f"http://127.0.0.1:{gated.tool_port}/opened", trust_env=False).json()[
        "opened"
    ]
    return count


def test_a7_a_websocket_needs_a_name_and_is_refused_before_it_opens(
    gated: Gated, ada: Visitor, visitor: People, hub: Hub
) -> None:
    bob = visitor("bob")
    bob.open(gated.path)
    before = opened(gated)
    path = f"{gated.path}socket"
    token = hub.ask("POST", "users/ada/tokens").json()["token"]
    cases = [
        Handshake(hub.url, path, Origin=hub.url),
        Handshake(hub.url, path, Origin=hub.url, Cookie=bob.cookie_header(gated.path)),
        Handshake(hub.url, f"{path}?token={token}", Origin=hub.url, Sec_Fetch_Mode="websocket"),
        Handshake(hub.url, path, Cookie=ada.cookie_header(gated.path)),  # no Origin at all
    ]
    assert [case.status for case in cases] == [401, 401, 401, 403]
    for case in cases:
        case.close()
    assert opened(gated) == before


def test_a7_nothing_is_left_of_a_sign_in_after_the_person_signed_out(
    gated: Gated, visitor: People, hub: Hub
) -> None:
    one = visitor("ada")
    one.open(gated.path)
    kept = one.cookie_header(gated.path)
    before = opened(gated)
    one.get("/hub/logout", headers=PAGE)
    gates_own = "; ".join(each for each in kept.split("; ") if each.startswith("jupyterhub-user-"))
    for cookie in (one.cookie_header(gated.path), gates_own):
        late = Handshake(hub.url, f"{gated.path}socket", Origin=hub.url, Cookie=cookie)
        assert late.status == 401
        late.close()
    assert opened(gated) == before


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.test",
        "{origin}.evil.test",
        "http://evil.{host}",
        "https://{host}",
        "ws://{host}",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "http://{host}@evil.test",
        "{host}",
    ],
)
def test_a8_an_origin_that_only_looks_like_ours_is_refused(
    gated: Gated, ada: Visitor, hub: Hub, origin: str
) -> None:
    named = origin.format(origin=hub.url, host=host_of(hub.url))
    if named.startswith("https://"):
        named = named.replace(str(hub.port), str(hub.port + 1))
    cookie = ada.cookie_header(gated.path)
    before = opened(gated)
    socket = Handshake(hub.url, f"{gated.path}socket", Origin=named, Cookie=cookie)
    assert socket.status == 403
    socket.close()
    assert opened(gated) == before
    posted = ada.fetch(
        "POST", gated.path, headers={"Origin": named, "Sec-Fetch-Site": "cross-site"}
    )
    assert posted.status_code == 403


def test_a8_where_browsers_come_by_https_plain_http_is_another_origin(
    secure: Gated, hub: Hub
) -> None:
    token = hub.ask("POST", "users/ada/tokens").json()["token"]
    # a cookie session is what an origin can abuse; get one by hand
    begun = httpx.get(secure.url, headers=PAGE, trust_env=False)
    assert begun.status_code == 302
    assert httpx.get(
        secure.url, headers={"Authorization": f"token {token}"}, trust_env=False
    ).is_success


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.test"}),
        ("POST", {"Sec-Fetch-Site": "same-site", "Origin": "http://u-b.example.org"}),
        ("POST", {"Sec-Fetch-Site": "none"}),
        ("DELETE", {}),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}),
        ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}),
        (
            "GET",
            {
                "Sec-Fetch-Site": "cross-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "iframe",
            },
        ),
    ],
)
def test_a8_a_page_of_somebody_else_makes_no_request_in_a_persons_name(
    gated: Gated, ada: Visitor, method: str, headers: dict[str, str]
) -> None:
    answer = ada.request(method, gated.path, headers=headers)
    assert answer.status_code == 403
    assert '"uri"' not in answer.text


def test_a8_a_link_from_elsewhere_opens_the_tool(gated: Gated, ada: Visitor) -> None:
    answer = ada.get(gated.path, headers={**PAGE, "Sec-Fetch-Site": "cross-site"})
    assert answer.json()["uri"] == "/"


# --- A10: cookies that others put there ----------------------------------------------------------


def test_a10_by_https_only_cookies_count_that_no_other_name_can_set(secure: Gated) -> None:
    begun = httpx.get(secure.url, headers=PAGE, trust_env=False)
    (cookie,) = begun.headers.get_list("Set-Cookie")
    name = cookie.partition("=")[0]
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert name == "__Host-jupyterhub-user-ada-secure-oauth-state"
    assert {"path=/", "secure", "httponly"} <= attributes
    assert not [each for each in attributes if each.startswith("domain")]


def test_a10_two_workspaces_of_one_origin_have_cookies_of_their_own(
    gated: Gated, secure: Gated
) -> None:
    found = [
        re.sub(
            "^__Host-", "", httpx.get(each.url, headers=PAGE, trust_env=False).headers["Set-Cookie"]
        )
        for each in (gated, secure)
    ]
    names = {each.partition("=")[0] for each in found}
    assert len(names) == 2


def test_a10_planted_cookies_are_ignored(gated: Gated, secure: Gated, ada: Visitor) -> None:
    mark = next(
        cookie.value
        for cookie in ada.cookies.jar
        if cookie.name == f"jupyterhub-user-ada-{gated.name}"
    )
    planted = f"jupyterhub-user-ada-secure={mark}; __Host-jupyterhub-user-ada-secure={mark}"
    for cookie in (planted, f"jupyterhub-user-ada-{gated.name}=made-up", "_xsrf=x"):
        for target in (secure, gated):
            answer = httpx.get(target.url, headers={"Cookie": cookie}, trust_env=False)
            assert answer.status_code == 401


# --- A11: being signed in as somebody else -------------------------------------------------------


def test_a11_a_token_in_an_address_is_no_sign_in(hub: Hub, gated: Gated) -> None:
    token = hub.ask("POST", "users/ada/tokens").json()["token"]
    answer = httpx.get(f"{gated.url}?token={token}", headers=PAGE, trust_env=False)
    assert answer.status_code == 302
    assert "/oauth2/authorize" in answer.headers["Location"]
    assert "user-ada-one=" not in answer.headers["Set-Cookie"].replace("-oauth-state=", "")


def test_a11_a_code_of_somebody_else_is_not_taken(gated: Gated, visitor: People) -> None:
    mallory = visitor("ada")
    page = mallory.open(gated.path)
    callback = next(
        str(step.url) for step in page.history if step.url.path.endswith("oauth_callback")
    )
    victim = httpx.Client(trust_env=False, base_url=gated.hub.url)
    for begun in (False, True):
        if begun:
            victim.get(gated.path, headers=PAGE)
        answer = victim.get(callback, headers=PAGE)
        assert answer.status_code in (400, 403)
        assert f"jupyterhub-user-ada-{gated.name}" not in victim.cookies
        assert "not begun in this browser" in answer.text
    victim.close()


def test_a11_a_code_without_its_verifier_is_refused_by_the_hub(
    gated: Gated, visitor: People
) -> None:
    begun = httpx.get(gated.url, headers=PAGE, trust_env=False).headers["Location"]
    without = re.sub(r"&?code_challenge(_method)?=[^&]*", "", begun)
    answer = visitor("ada").get(without, headers=PAGE, follow_redirects=False)
    assert answer.status_code >= 400 or "error=" in answer.headers.get("Location", "")
