"""The whole platform behind Caddy: HTTPS, known names, certificates replaced under load, ACME."""

import asyncio
import json
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import select
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Conflict
from petrihub_core.ports import free_port
from petrihub_core.records import AuditRow, SealedSecret, now
from petrihub_core.settings.vault import Vault
from petrihub_portal.certificate_store import CertificateStore, _alone_in
from petrihub_portal.certificates import look_at, self_signed
from petrihub_portal.replacing import replace

from tests.portal.fronted import DOMAIN, Fronted, HttpsGuest, served
from tests.portal.guests import PORTAL
from tests.portal.workspaces import Inside

SWAPS = 100
pytestmark = pytest.mark.timeout(240)


def test_the_site_answers_by_https_from_the_first_moment(fronted: Fronted) -> None:
    assert fronted.url == f"https://{DOMAIN}:{fronted.deployment.front.https_port}"
    answer = httpx.get(f"{fronted.url}{PORTAL}api/v1/alive", verify=False)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "strict-transport-security" not in answer.headers  # nobody vouches for it yet
    text = fronted.deployment.certificate_file.read_text()
    assert look_at(text[text.index("-----BEGIN CERT") :]).fingerprint == served(fronted)
    folder = fronted.deployment.certificate_file.parent
    kept = [folder / "certificate.pem", folder / "caddy.json"]
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}


def test_plain_http_leads_to_https(fronted: Fronted) -> None:
    answer = httpx.get(f"{fronted.plain}/hub/login?next=%2Fx", follow_redirects=False)
    assert answer.status_code == 308
    assert answer.headers["location"] == f"{fronted.url}/hub/login?next=%2Fx"


@pytest.mark.parametrize("host", ["evil.example", f"{DOMAIN}.evil.example", "127.0.0.1"])
def test_an_unknown_name_gets_400_from_the_front(fronted: Fronted, host: str) -> None:
    for base in (fronted.url, fronted.plain):
        for path in ("/hub/login", PORTAL, "/.well-known/acme-challenge/x"):
            answer = httpx.get(f"{base}{path}", headers={"Host": host}, verify=False)
            assert answer.status_code == 400, (base, path)


def test_the_key_is_served_to_nobody_who_does_not_know_the_word(fronted: Fronted) -> None:
    ports = json.loads((fronted.deployment.state / "ports.json").read_text())
    base = f"http://127.0.0.1:{ports['front']}"
    for path in ("/", "/certificate.pem", "/caddy.json", "/../certificate.pem"):
        assert httpx.get(f"{base}{path}").status_code == 404
    config = (fronted.deployment.certificate_file.parent / "caddy.json").read_text()
    word = json.loads(config)["apps"]["tls"]["automation"]["policies"][0]["get_certificate"][0]
    name = word["url"].rsplit("/", 1)[1]
    assert len(name) == 64
    assert name not in (fronted.deployment.logs / "front.log").read_text()


@pytest.fixture(scope="module")
def slow(fronted: Fronted) -> Iterator[list[socket.socket]]:
    """Half a thousand who begin a request and never end it."""
    address = ("127.0.0.1", fronted.deployment.front.http_port)
    opened = [socket.create_connection(address) for _ in range(500)]
    for each in opened:
        each.sendall(f"GET / HTTP/1.1\r\nHost: {DOMAIN}\r\nX-Slow: ".encode())
    yield opened
    for each in opened:
        each.close()


def test_500_slow_requests_and_a_huge_one_keep_nobody_waiting(
    fronted: Fronted, slow: list[socket.socket]
) -> None:
    big = httpx.get(fronted.url, headers={"X": "y" * 100_000}, verify=False)
    assert big.status_code == 431
    for _ in range(20):
        answer = httpx.get(f"{fronted.url}/hub/health", verify=False, timeout=2)
        assert answer.status_code == 200


def test_the_sign_in_works_and_its_cookies_are_for_https_only(chief: HttpsGuest) -> None:
    chief.sign_in()
    cookies = list(chief.client.cookies.jar)
    assert {cookie.name for cookie in cookies} >= {"petrihub-portal", "jupyterhub-hub-login"}
    assert [cookie.name for cookie in cookies if not cookie.secure] == []
    tokens = chief.client.get("/hub/home")
    assert "http://" not in tokens.text.replace("http://www.w3.org", "")


class Load:
    """Requests without a pause, each on a connection of its own; what did not answer 200."""

    def __init__(self, site: Fronted) -> None:
        self._site = site
        self._ending = threading.Event()
        self.asked = 0
        self.dropped: list[str] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]

    def _run(self) -> None:
        while not self._ending.is_set():
            for path in (f"{PORTAL}api/v1/alive", "/hub/health"):
                try:
                    answer = httpx.get(f"{self._site.url}{path}", verify=False, timeout=20)
                    if answer.status_code != 200:
                        self.dropped.append(f"{path}: {answer.status_code}")
                except httpx.HTTPError as exc:
                    self.dropped.append(f"{path}: {exc!r}")
                self.asked += 1

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()


async def kernel(chief: HttpsGuest) -> WebSocketClientConnection:
    """A websocket to a real kernel of a workspace, through the front."""
    form = {"profile": "notebooks", "size": "small", "_xsrf": xsrf_of(chief)}
    await asyncio.to_thread(chief.client.post, f"/hub/spawn/{chief.name}/bench", data=form)
    inside = Inside(chief, f"/user/{chief.name}/bench/")
    for _ in range(400):
        page = await asyncio.to_thread(inside.enter)
        if page.status_code == 200 and page.url.path.startswith(inside.base):
            break
        await asyncio.sleep(0.3)
    made = await asyncio.to_thread(inside.call, "POST", "api/kernels", json={})
    assert made.status_code == 201, (page.url, made.text)
    cookies = "; ".join(
        f"{each.name}={each.value}"
        for each in chief.client.cookies.jar
        if inside.base.startswith(each.path)
    )
    base = chief.site.url.replace("https", "wss")
    url = f"{base}{inside.base}api/kernels/{made.json()['id']}/channels"
    headers = {"Cookie": cookies, "Origin": chief.site.url}
    return await websocket_connect(HTTPRequest(url, headers=headers, validate_cert=False))


def xsrf_of(chief: HttpsGuest) -> str:
    page = chief.client.get(f"/hub/spawn/{chief.name}/bench").text
    found = re.search(r'name="_xsrf" value="([^"]+)"', page)
    assert found, page
    return found[1]


async def compute(socket: WebSocketClientConnection, number: int) -> None:
    """Let the kernel compute, and wait for what it printed."""
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "execute_request",
        "username": "",
        "session": "s",
        "version": "5.3",
        "date": now().isoformat(),
    }
    content = {"code": f"print({number} * 2)", "silent": False, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
    await socket.write_message(json.dumps({**message, "channel": "shell", "buffers": []}))
    while True:
        told = await asyncio.wait_for(socket.read_message(), 30)
        assert told is not None, "the connection to the kernel was closed"
        answer = json.loads(told)
        if answer["msg_type"] == "stream" and answer["content"]["text"] == f"{number * 2}\n":
            return


async def test_a_certificate_is_replaced_100_times_and_neither_kernel_nor_request_notices(
    fronted: Fronted, chief: HttpsGuest, fronted_tables: Database
) -> None:
    chief.sign_in()
    socket = await kernel(chief)
    await compute(socket, 0)
    store = CertificateStore(
        fronted.deployment, fronted_tables, Vault(fronted.deployment.secrets / "settings_keys")
    )
    pairs = [self_signed(DOMAIN, now()) for _ in range(SWAPS)]
    with Load(fronted) as load:
        for number, pair in enumerate(pairs):
            await store.keep(pair, "self-signed", by="tests")
            await store.write_file()
            assert await asyncio.to_thread(served, fronted) == look_at(pair.chain).fingerprint
            if number % 10 == 0:
                await compute(socket, number)
    await compute(socket, SWAPS)  # the same connection as before the first
    socket.close()
    assert load.asked > 20
    assert load.dropped == []


def test_one_button_makes_a_self_signed_certificate(fronted: Fronted, chief: HttpsGuest) -> None:
    before = served(fronted)
    answer = chief.post("admin/tls/self-signed")
    assert answer.status_code == 303, answer.text
    after = chief.api("GET", "tls").json()
    assert after["sha256"] == served(fronted) != before
    assert (after["kind"], after["names"], after["days_left"]) == ("self-signed", [DOMAIN], 396)
    assert "PRIVATE" not in chief.get("admin/tls").text
    # the one before can be put back
    page = chief.get("admin/tls").text
    assert "put-back/" in page
    version = int(page.split("put-back/")[1].split('"')[0])
    assert chief.post(f"admin/tls/put-back/{version}").status_code == 303
    assert served(fronted) == before


def test_a_bad_upload_is_refused_and_the_old_certificate_stays(
    fronted: Fronted, chief: HttpsGuest
) -> None:
    before = served(fronted)
    good, other = self_signed(DOMAIN, now()), self_signed("other.example", now())
    for chain, key, words in (
        (good.chain, other.key, "does not belong"),
        (other.chain, other.key, "is for other.example"),
        ("rubbish", good.key, "not a PEM chain"),
    ):
        sent = chief.send(
            "POST",
            "admin/tls/upload",
            files={"chain": ("c.pem", chain.encode()), "key": ("k.pem", key.encode())},
        )
        assert sent.status_code == 400
        assert words in sent.text
        assert "PRIVATE KEY" not in sent.text
        assert served(fronted) == before
    body = {"chain": good.chain, "key": good.key}
    taken = chief.api("PUT", "tls/certificate", body)
    assert taken.status_code == 200, taken.text
    assert taken.json()["sha256"] == served(fronted) == look_at(good.chain).fingerprint


async def test_a_certificate_that_the_front_does_not_serve_is_taken_back(
    fronted: Fronted, fronted_tables: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petrihub_portal.replacing._SECONDS", 0.5)
    before = served(fronted)
    vault = Vault(fronted.deployment.secrets / "settings_keys")
    # as after a wrong mount: the portal writes another file than the front reads
    elsewhere = fronted.deployment.model_copy(update={"state": tmp_path})
    # as with a wrong [front] inside: the portal does not find the front
    wrong = fronted.deployment.front.model_copy(update={"inside": f"127.0.0.1:{free_port()}"})
    lost = fronted.deployment.model_copy(update={"front": wrong})

    async def taken_back(deployment: Deployment, words: str) -> None:
        store = CertificateStore(deployment, fronted_tables, vault)
        with pytest.raises(Conflict, match=words):
            await replace(store, self_signed(DOMAIN, now()), "uploaded", by="ada")
        assert (await store.in_force()).fingerprint == before == served(fronted)

    # the running portal writes what is in force too; it would find the front's own file
    async with _alone_in(fronted.deployment.certificate_file.parent):
        await taken_back(elsewhere, "it still serves")
    await taken_back(lost, "no HTTPS connection")
    full = tmp_path / "full"
    full.write_text("no folder")
    store = CertificateStore(
        fronted.deployment.model_copy(update={"state": full}), fronted_tables, vault
    )
    with pytest.raises(Conflict, match="cannot be written"):
        await replace(store, self_signed(DOMAIN, now()), "uploaded", by="ada")
    assert (await store.in_force()).fingerprint == before == served(fronted)


def test_a_front_that_was_killed_comes_back_with_the_same_certificate(fronted: Fronted) -> None:
    before = served(fronted)
    record = fronted.deployment.certificate_file.with_name("process.json")
    psutil.Process(json.loads(record.read_text())["pid"]).kill()
    end = time.monotonic() + 60
    while True:
        try:
            assert served(fronted) == before
            break
        except OSError:
            assert time.monotonic() < end, "the front did not come back"
            time.sleep(0.1)


def test_the_slow_requests_of_the_beginning_were_ended(slow: list[socket.socket]) -> None:
    for each in slow:
        each.settimeout(30)
        # 400 or 408 and the end, or the end at once
        assert each.recv(100)[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 408")


async def test_no_key_and_no_secret_is_in_audit_or_versions(
    chief: HttpsGuest, fronted_tables: Database
) -> None:
    chief.post("admin/tls/self-signed")
    async with fronted_tables.reading() as session:
        rows = await session.scalars(select(AuditRow.detail))
        assert not any("PRIVATE" in str(row) for row in rows)
        sealed = await session.scalars(select(SealedSecret.sealed))
        assert not any(b"PRIVATE" in each for each in sealed)
    for version in chief.api("GET", "settings/acme/versions").json()["items"]:
        assert "PRIVATE" not in str(version)
