"""The gate before a tool: real JupyterHub, real proxy, real gate process, a small real tool."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.sidecars.conftest import PAGE, Gated, Hub, Visitor, until
from tests.sidecars.wire import Handshake

WORK = "custom:petrihub-workspace:work"
People = Callable[..., Visitor]


@pytest.fixture
def ada(visitor: People, gated: Gated) -> Visitor:
    """The owner, signed in and in."""
    one = visitor("ada")
    assert one.open(gated.path).is_success
    return one


def share(hub: Hub, gated: Gated, name: str, *, work: bool) -> None:
    server = f"!server=ada/{gated.name}"
    scopes = [f"access:servers{server}", *([f"{WORK}{server}"] if work else [])]
    answer = hub.ask("POST", f"shares/ada/{gated.name}", user=name, scopes=scopes)
    assert answer.is_success, answer.text


def unshare(hub: Hub, gated: Gated, name: str) -> None:
    assert hub.ask("PATCH", f"shares/ada/{gated.name}", user=name).is_success


def seen_by_tool(answer: httpx.Response) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in answer.json()["headers"]:
        found.setdefault(name.lower(), []).append(value)
    return found


def test_the_owner_comes_through_the_hubs_sign_in_to_the_page_they_wanted(
    gated: Gated, visitor: People
) -> None:
    page = visitor("ada").open(f"{gated.path}deep/page?x=1&y=%20")
    assert page.json()["uri"] == "/deep/page?x=1&y=%20"
    asked = next(step for step in page.history if "/oauth2/authorize" in str(step.url))
    assert asked.url.params["code_challenge_method"] == "S256"
    assert asked.url.params["state"]


def test_the_tool_learns_who_it_is_and_can_verify_it(gated: Gated, ada: Visitor) -> None:
    signed = seen_by_tool(ada.fetch("GET", gated.path))["x-petrihub-identity"]
    keys = httpx.get(
        f"http://127.0.0.1:{gated.identity_port}/.well-known/jwks.json", trust_env=False
    ).json()
    assert [set(key) & {"d", "k", "p"} for key in keys["keys"]] == [set()]
    claims = jwt.decode(signed[0], KeySet.import_key_set(keys), algorithms=["ES256"]).claims
    assert claims["sub"] == "ada"
    assert (claims["iss"], claims["aud"]) == ("petrihub:testing", f"id-of-ada/{gated.name}")
    assert 0 < claims["exp"] - claims["iat"] <= 120


def test_a_body_goes_up_and_comes_down_unchanged(gated: Gated, ada: Visitor) -> None:
    sent = bytes(range(256)) * 40_000
    for body in (sent, (sent[i : i + 70_000] for i in range(0, len(sent), 70_000))):
        answer = ada.fetch("PUT", f"{gated.path}upload", content=body).json()
        assert answer == {"sha256": hashlib.sha256(sent).hexdigest(), "bytes": len(sent)}
    expected = hashlib.sha256(bytes(range(256)) * 4096 * 48).hexdigest()
    for length in ("", "yes"):
        digest = hashlib.sha256()
        with ada.stream("GET", f"{gated.path}big?mib=48&length={length}", headers=PAGE) as answer:
            for piece in answer.iter_bytes():
                digest.update(piece)
        assert digest.hexdigest() == expected


def test_a_stream_arrives_as_it_is_sent(gated: Gated, ada: Visitor) -> None:
    with ada.stream("GET", f"{gated.path}slowly", headers=PAGE) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "data: one"
        ada.fetch("GET", f"{gated.path}slowly/on")
        assert [line for line in lines if line] == ["data: two"]


def test_answers_without_a_body_are_whole(gated: Gated, ada: Visitor) -> None:
    answer = ada.fetch("HEAD", gated.path)
    assert answer.headers["Content-Length"] == "12345"
    assert ada.fetch("GET", f"{gated.path}refusing").status_code == 403
    assert ada.fetch("GET", f"{gated.path}refusing").text == "not this one"


def test_a_websocket_speaks_both_ways_and_the_tool_chooses_the_protocol(
    gated: Gated, ada: Visitor
) -> None:
    socket = Handshake(
        gated.hub.url,
        f"{gated.path}socket",
        Origin=ada.origin,
        Cookie=ada.cookie_header(gated.path),
        Sec_WebSocket_Protocol="first, second",
    )
    assert socket.status == 101
    assert "sec-websocket-protocol: second" in socket.head.lower()
    for text in (b"one", b"\xf0\x9f\xa7\xab"):
        socket.say(text)
        assert socket.hear() == text
    socket.close()


def test_what_the_tool_sets_stays_below_its_own_address(gated: Gated, ada: Visitor) -> None:
    answer = ada.get(f"{gated.path}sets", headers=PAGE, follow_redirects=False)
    assert answer.headers["Location"] == f"{gated.path}elsewhere?x=1"
    prefix = gated.path.rstrip("/")
    assert answer.headers.get_list("Set-Cookie") == [
        f"tool=1; HttpOnly; Path={prefix}/",
        f"deep=1; Path={prefix}/deep",
    ]
    seen = seen_by_tool(ada.fetch("GET", gated.path))
    assert seen["cookie"] == ["tool=1"]


def test_a_guest_who_may_work_comes_in_and_one_who_may_look_is_told_why_not(
    hub: Hub, gated: Gated, ada: Visitor, visitor: People
) -> None:
    bob, cyd = visitor("bob"), visitor("cyd")
    share(hub, gated, "bob", work=True)
    share(hub, gated, "cyd", work=False)
    page = bob.open(gated.path)
    assert "x-petrihub-identity" in seen_by_tool(page)
    refused = cyd.open(gated.path)
    assert refused.status_code == 403
    assert "You may only look at this workspace" in refused.text
    inside = ada.fetch("GET", f"{gated.path}petrihub/api/guests").json()["guests"]
    assert [(guest["name"], guest["mode"]) for guest in inside] == [("bob", "work")]
    unshare(hub, gated, "bob")
    unshare(hub, gated, "cyd")


def test_a_share_that_ends_ends_at_once_where_the_portal_says_so(
    hub: Hub, gated: Gated, ada: Visitor, visitor: People
) -> None:
    share(hub, gated, "bob", work=True)
    bob = visitor("bob")
    bob.open(gated.path)
    socket = Handshake(
        hub.url, f"{gated.path}socket", Origin=bob.origin, Cookie=bob.cookie_header(gated.path)
    )
    socket.say(b"still here")
    assert socket.hear() == b"still here"
    unshare(hub, gated, "bob")
    told = ada.fetch("POST", f"{gated.path}petrihub/api/guests/look", json={})
    assert told.json() == {"expelled": ["bob"]}
    assert socket.hear() == b""
    assert bob.fetch("GET", gated.path).status_code == 403


def test_the_owner_sees_who_was_here_and_nobody_else_does(
    hub: Hub, gated: Gated, ada: Visitor, visitor: People
) -> None:
    share(hub, gated, "bob", work=True)
    bob = visitor("bob")
    bob.open(gated.path)
    page = ada.open(f"{gated.path}petrihub-gate/visits")
    assert "Who was in one" in page.text
    assert "bob <small>guest</small>" in page.text
    assert bob.open(f"{gated.path}petrihub-gate/visits").status_code == 403
    assert bob.fetch("GET", f"{gated.path}petrihub/api/guests").status_code == 403
    unshare(hub, gated, "bob")


def test_a_program_comes_with_a_token_which_the_tool_never_sees(hub: Hub, gated: Gated) -> None:
    made = hub.ask("POST", "users/ada/tokens", scopes=[f"access:servers!server=ada/{gated.name}"])
    token = made.json()["token"]
    answer = httpx.get(gated.url, headers={"Authorization": f"token {token}"}, trust_env=False)
    assert "authorization" not in seen_by_tool(answer)
    assert token not in answer.text


def test_use_is_told_to_the_hub_and_health_checks_are_no_use(
    hub: Hub, new_gated: Callable[..., Gated], visitor: People
) -> None:
    quiet = new_gated("quiet")
    quiet.start_tool()
    quiet.start_gate(reports_every=0.2)
    direct, last = quiet.direct, quiet.last_activity
    begun = last()
    for _ in range(3):
        health = httpx.get(f"{direct}{quiet.path}petrihub-gate/health", trust_env=False)
        assert health.status_code == 204
    ada = visitor("ada")
    assert ada.open(quiet.path).is_success
    used = until(lambda: last() > begun and last(), "activity at the hub")
    assert used - begun < timedelta(minutes=5)


def test_a_tab_that_only_keeps_its_websocket_open_is_no_use(
    new_gated: Callable[..., Gated], visitor: People
) -> None:
    """The proxy counts pings, which the hub would take for use and never stop the workspace."""
    quiet, counted = new_gated("forgotten"), new_gated("counted")
    for each in (quiet, counted):
        each.start_tool()
        each.start_gate(reports_every=0.2, tells_use=each is quiet)
    ada = visitor("ada")
    assert ada.open(quiet.path).is_success
    socket = Handshake(
        quiet.hub.url,
        f"{quiet.path}socket",
        Origin=ada.origin,
        Cookie=ada.cookie_header(quiet.path),
    )
    assert socket.status == 101
    before = quiet.last_activity()
    socket.say(b"work")
    assert socket.hear() == b"work"
    heard = datetime.now(UTC)  # the last use; it may be told in one of the next reports
    until(lambda: quiet.last_activity() > before, "use at the hub")

    def counts_pings() -> bool:
        socket.say(b"", opcode=9)
        return quiet.counted_by_proxy() > heard + timedelta(seconds=1)

    until(counts_pings, "the proxy to take pings for activity")
    pinged = quiet.counted_by_proxy()

    # of the other one the hub hears through the proxy alone: then it has looked at the proxy
    def looked() -> bool:
        httpx.get(f"{counted.url}petrihub-gate/health", trust_env=False)
        return counted.last_activity() > pinged

    until(looked, "the hub to ask the proxy")
    assert quiet.last_activity() <= heard
    socket.close()


def test_a_tool_that_is_not_there_yet_has_a_page_that_looks_again(
    gated: Gated, ada: Visitor
) -> None:
    gated.end_tool()
    page = ada.open(gated.path)
    assert page.status_code == 503
    assert "Echo has ended" in page.text
    assert 'http-equiv="refresh"' in page.text
    script = ada.fetch("GET", gated.path)
    assert (script.status_code, script.headers["Retry-After"]) == (503, "3")
    assert "<html" not in script.text
    gated.start_tool()
    assert ada.open(gated.path).is_success


def test_the_owner_alone_sees_the_last_lines_of_a_tool_that_has_ended(
    hub: Hub, new_gated: Callable[..., Gated], visitor: People
) -> None:
    ended = new_gated("wrote")
    ended.start_tool()
    ended.start_gate()
    share(hub, ended, "bob", work=True)
    ada, bob = visitor("ada"), visitor("bob")
    for each in (ada, bob):
        assert each.open(ended.path).is_success
    with ended.log.open("a") as log:
        log.write("MemoryError: no room for <cells>\nupload with token=9fk2jd83hs7dhw62\n")
    ended.end_tool()
    page = ada.open(ended.path)
    assert page.status_code == 503
    assert "MemoryError: no room for &lt;cells&gt;" in page.text
    assert "9fk2jd83hs7dhw62" not in page.text
    assert "token=[removed]" in page.text
    told = bob.open(ended.path)
    assert "Echo has ended" in told.text
    assert "MemoryError" not in told.text
    # not by the hub's API either, though a share lets its holder reach the workspace
    scopes = ["access:servers!server=ada/wrote"]
    theirs = hub.ask("POST", "users/bob/tokens", scopes=scopes).json()["token"]
    asked = httpx.get(
        f"{hub.url}/hub/api/petrihub/users/ada/servers/wrote/log",
        headers={"Authorization": f"token {theirs}"},
        trust_env=False,
    )
    assert asked.status_code in (403, 404)
    assert "MemoryError" not in asked.text


def test_no_connection_is_left_that_keeps_the_tools_port_busy(gated: Gated, ada: Visitor) -> None:
    # a tool that is started again in the same network could not have its port back
    for _ in range(3):
        assert ada.fetch("GET", gated.path).is_success
        ada.fetch("PUT", f"{gated.path}upload", content=b"x")
    table = Path("/proc/net/tcp")
    time_wait = f"0100007F:{gated.tool_port:04X}"

    def free() -> bool:
        lines = [line.split() for line in table.read_text().splitlines()[1:]]
        return not [each for each in lines if (each[1], each[3]) == (time_wait, "06")]

    until(free, "the tool's port is free")


def test_a_tool_that_listens_beyond_loopback_stays_closed(
    hub: Hub, new_gated: Callable[..., Gated], visitor: People
) -> None:
    open_one = new_gated("exposed")
    open_one.start_tool(address="0.0.0.0")
    open_one.start_gate()
    health = httpx.get(f"{open_one.direct}{open_one.path}petrihub-gate/health", trust_env=False)
    assert health.status_code == 503
    assert "must listen on 127.0.0.1 only" in health.headers["PetriHub-Problem"]
    page = visitor("ada").open(open_one.path)
    assert page.status_code == 503
    assert f"listens on 0.0.0.0, port {open_one.tool_port}" in page.text


def test_the_gate_tells_its_environment_to_nobody(gated: Gated, ada: Visitor) -> None:
    answer = ada.fetch("GET", gated.path)
    text = json.dumps(answer.json()["headers"])
    for secret in ("jupyterhub-user-ada", "oauth-state", "jupyterhub-session-id"):
        assert secret not in text
    assert quote(gated.path, safe="") not in text
