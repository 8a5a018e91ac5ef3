"""The gate's parts that need no hub: headers, websocket frames, the kernel's table of ports."""

import socket
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from tornado.httputil import HTTPHeaders

from petrihub_sidecars.gate.frames import Frames
from petrihub_sidecars.gate.headers import kept_from_client, kept_from_tool
from petrihub_sidecars.gate.identity import Signer
from petrihub_sidecars.gate.loopback import exposed_at
from petrihub_sidecars.gate.pages import duration
from petrihub_sidecars.gate.settings import GateSettings
from petrihub_sidecars.gate.wire import Head, ToolGarbled

SETTINGS = GateSettings(
    title="Viewer",
    port=5005,
    health="/",
    absolute_urls=False,
    owner="ada",
    workspace="study",
    audience="p3rs0n/study",
    issuer="petrihub:here",
    base_url="/user/ada/study/",
    host="127.0.0.1",
    listen_port=8888,
    public_scheme="",
    home_url="/hub/home",
)

claims = st.sampled_from(
    ["X-Forwarded-User", "Remote-User", "X-Auth-Request-Email", "X-PetriHub-Identity", "Forwarded"]
)


@given(name=claims, data=st.data())
def test_a_claim_is_known_however_it_is_written(name: str, data: st.DataObject) -> None:
    written = "".join(
        data.draw(st.sampled_from([c.lower(), c.upper(), *(["_"] if c == "-" else [])]))
        for c in name
    )
    headers = HTTPHeaders()
    headers.add(written, "victim")
    headers.add("Accept", "text/html")
    assert kept_from_client(headers) == [("Accept", "text/html")]


def test_cookies_of_the_hub_and_of_gates_stay_behind() -> None:
    headers = HTTPHeaders()
    headers.add("Cookie", "a=1; jupyterhub-session-id=s; __Host-jupyterhub-user-ada-x=t")
    headers.add("Cookie", '"__HOST-x"=1; JupyterHub-user-ada=1; b=2;; =3')
    assert kept_from_client(headers) == [("Cookie", "a=1"), ("Cookie", "b=2; =3")]


@pytest.mark.parametrize(
    ("said", "outside"),
    [
        ("/x?y#z", "/user/ada/study/x?y#z"),
        ("x", "x"),
        ("/user/ada/study/x", "/user/ada/study/x"),
        ("/user/ada/study-two/x", "/user/ada/study/user/ada/study-two/x"),
        ("http://127.0.0.1:5005/x", "/user/ada/study/x"),
        ("https://hub.example.org/x", "/user/ada/study/x"),
        ("https://elsewhere.example.org/x", "https://elsewhere.example.org/x"),
    ],
)
def test_a_redirect_leads_below_the_tools_own_address(said: str, outside: str) -> None:
    own = {"hub.example.org", "127.0.0.1:5005"}
    kept = kept_from_tool([("Location", said)], prefix="/user/ada/study", own=own)
    assert kept == [("Location", outside)]


def test_a_tool_that_knows_its_whole_address_says_it_itself() -> None:
    said = [("Location", "/user/ada/study/x"), ("Set-Cookie", "a=1; Path=/user/ada/study/")]
    assert kept_from_tool(said, prefix="", own=set()) == said


def frame(opcode: int, payload: bytes, *, masked: bool) -> bytes:
    size = len(payload)
    mask = 0x80 if masked else 0
    if size < 126:
        length = bytes([mask | size])
    elif size < 1 << 16:
        length = bytes([mask | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([mask | 127]) + size.to_bytes(8, "big")
    return bytes([0x80 | opcode]) + length + (b"mask" if masked else b"") + payload


messages = st.tuples(st.sampled_from([1, 2, 8, 9, 10]), st.integers(0, 70_000), st.booleans())


@given(st.lists(messages, max_size=4), st.lists(st.integers(1, 5000), max_size=30))
def test_messages_are_told_from_pings_however_the_bytes_are_cut(
    sent: list[tuple[int, int, bool]], cuts: list[int]
) -> None:
    # payloads that look like heads of messages must not count
    data = b"".join(frame(code, b"\x81\x01" * (n // 2), masked=m) for code, n, m in sent)
    frames, said, at = Frames(), False, 0
    for size in [*cuts, len(data) + 1]:
        said = frames.said_something(data[at : at + size]) or said
        at += size
    assert said == any(code in (1, 2) for code, _, _ in sent)


@pytest.mark.parametrize(
    ("family", "address", "seen"),
    [
        (socket.AF_INET, "127.0.0.1", ""),
        (socket.AF_INET, "127.0.0.53", ""),
        (socket.AF_INET, "0.0.0.0", "0.0.0.0"),
        (socket.AF_INET6, "::1", ""),
        (socket.AF_INET6, "::", "::"),
        (socket.AF_INET6, "::ffff:127.0.0.1", ""),
    ],
)
def test_what_listens_beyond_loopback_is_seen(
    family: socket.AddressFamily, address: str, seen: str
) -> None:
    with socket.socket(family) as listener:
        try:
            listener.bind((address, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        listener.listen()
        assert exposed_at(listener.getsockname()[1]) == seen


def test_a_machine_without_ipv6_is_no_error(tmp_path: Path) -> None:
    assert exposed_at(1, (tmp_path / "tcp6",)) == ""


def head(status: int = 200, **headers: str) -> Head:
    named = HTTPHeaders({name.replace("_", "-"): value for name, value in headers.items()})
    return Head(status, "", named, b"")


def test_how_long_an_answer_is() -> None:
    assert head(Content_Length="7").length("GET") == 7
    assert head(Content_Length="7").length("HEAD") == 0
    assert head(304).length("GET") == 0
    assert head().length("GET") is None
    assert head(Transfer_Encoding="chunked", Content_Length="7").length("GET") is None
    for wrong in (head(Content_Length="+7"), head(Transfer_Encoding="gzip, chunked")):
        with pytest.raises(ToolGarbled):
            wrong.length("GET")


def test_an_identity_is_for_one_workspace_one_person_and_two_minutes() -> None:
    at = [time.time()]
    signer = Signer(SETTINGS, clock=lambda: at[0])
    keys = KeySet.import_key_set(signer.keys())  # type: ignore[arg-type]
    signed = signer.header_for("ada")
    token = jwt.decode(signed, keys, algorithms=["ES256"])
    assert token.claims["aud"] == "p3rs0n/study"
    assert token.claims["exp"] == token.claims["iat"] + 120
    assert signer.header_for("ada") == signed
    assert signer.header_for("bob") != signed
    at[0] += 60
    renewed = jwt.decode(signer.header_for("ada"), keys, algorithms=["ES256"])
    assert renewed.claims["exp"] > token.claims["exp"]
    with pytest.raises(JoseError):
        jwt.decode(Signer(SETTINGS).header_for("ada"), keys, algorithms=["ES256"])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5, "less than a minute"),
        (60, "1 minute"),
        (3600, "1 hour"),
        (7500, "2 hours 5 minutes"),
    ],
)
def test_a_stay_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
