"""One server with real docker-compose: a day on it, while each container is killed in turn."""

import asyncio
import json
import re
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import chain

import httpx
import psutil
import pytest

from petrihub_cli.engine import ensure_engine
from petrihub_cli.state import inner_ports
from petrihub_core.errors import PetriHubError

from tests.conftest import skip
from tests.production.server import PARTS, PORTAL, Server, Worker, of_each, until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As docs/how-to/install-on-a-server.md says, on the private engine and free ports."""
    if shutil.which("docker-compose") is None:
        skip("docker-compose is not installed (apt-get install docker-compose)")
    try:
        socket = asyncio.run(ensure_engine(private=True)).socket
    except PetriHubError as exc:
        skip(exc.jupyterhub_message)
    made = Server(tmp_path_factory.mktemp("server") / "petrihub", socket)
    made.init()
    made.look_often()
    made.build()
    made.choose_ports()
    try:
        made.compose("up", "-d")
        until(lambda: answers(made) and all(map(made.is_well, PARTS)), 60)
        yield made
    finally:
        if made.folder.exists():
            made.end()


def say(words: str) -> None:
    """For whoever runs this with -s: what was measured."""
    sys.stdout.write(f"\n{words}\n")


def answers(server: Server) -> bool:
    try:
        with server.browser() as browser:
            return browser.get("/hub/health").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def ada(server: Server) -> Worker:
    """The first administrator, at work: a workspace, a kernel that knows something."""
    said = server.compose("exec", "-T", "hub", "petrihub", "admin", "link")
    link = re.search(r"First admin: (\S+)", said)
    assert link, said
    worker = Worker(server, "ada")
    worker.redeem(link[1])
    assert worker.is_in()
    worker.start_workspace()
    worker.start_kernel()

    async def learn() -> None:
        socket = await worker.connect()
        await worker.run(socket, "answer = 6 * 7; open('notes.txt', 'w').write('kept')")
        socket.close()

    asyncio.run(learn())
    return worker


async def knows(worker: Worker) -> str:
    socket = await worker.connect()
    try:
        return await worker.run(socket, "print(answer, open('notes.txt').read())")
    finally:
        socket.close()


def test_only_the_front_and_the_workspaces_door_to_the_hub_are_on_a_network(
    server: Server,
) -> None:
    subnet = server.deployment.docker.hub_subnet
    assert subnet
    open_doors = {}
    for part in PARTS:
        first = server.container(part)["State"]["Pid"]
        for each in chain(*of_each(first, lambda one: one.net_connections(kind="inet"))):
            if each.status == psutil.CONN_LISTEN and each.laddr.ip != "127.0.0.1":
                open_doors[part, each.laddr.ip] = each.laddr.port
    assert {part for part, _ in open_doors} == {"caddy", "hub", "images"}
    gateway = str(next(subnet.hosts()))
    assert {("hub", gateway), ("images", gateway)} <= open_doors.keys()
    assert server.container("postgres")["HostConfig"]["NetworkMode"] == "none"


@pytest.mark.parametrize("part", PARTS)
def test_every_container_is_held_short(server: Server, part: str) -> None:
    found = server.container(part)
    host = found["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert not host["Privileged"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"]["Config"]["max-size"] == "10m"
    sockets = [m["Source"] for m in found["Mounts"] if m["Source"].endswith(".sock")]
    assert sockets == ([server.socket] if part == "hub" else [])
    first = found["State"]["Pid"]
    until(lambda: 0 not in of_each(first, lambda one: one.uids().real), 30)


def test_no_secret_is_in_a_container_s_description_or_log(server: Server) -> None:
    secrets = [
        line.split()[-1]
        for file in (server.folder / "secrets").iterdir()
        for line in file.read_text().splitlines()
    ]
    told = json.dumps([server.container(part) for part in PARTS]) + server.compose("logs")
    assert [secret for secret in secrets if secret in told] == []


def test_the_doors_say_what_they_should(server: Server) -> None:
    front = server.deployment.front
    browser = server.browser()
    plain = browser.get(f"http://{front.domain}:{front.http_port}/hub/login")
    assert (plain.status_code, plain.headers["location"]) == (308, f"{server.url}/hub/login")
    strange = browser.get("/", headers={"Host": "evil.example"})
    assert strange.status_code == 400


def test_each_person_s_origin_has_their_workspaces_and_nothing_else(
    server: Server, ada: Worker
) -> None:
    assert ada.lab_answers()
    here = ada.root.removesuffix("/user/ada/study")
    assert here.startswith(f"https://ada.{server.deployment.front.domain}:")
    led = server.browser().get(f"{here}/hub/login")
    assert (led.status_code, led.headers["location"]) == (302, f"{server.url}/hub/login")
    at_the_site = server.browser().get("/user/ada/study/api/status", follow_redirects=False)
    assert at_the_site.status_code == 302


@pytest.mark.parametrize(
    "part", ["portal-1", "portal-2", "proxy", "caddy", "postgres", "images", "hub"]
)
def test_nothing_is_lost_when_a_container_is_killed(server: Server, ada: Worker, part: str) -> None:
    before = server.workspaces()
    assert len(before) == 1
    started = server.container(part)["State"]["StartedAt"]
    server.kill(part)
    seconds = until(lambda: server.container(part)["State"]["StartedAt"] != started, 30)
    seconds += until(lambda: ada.is_in() and ada.hub_knows() and ada.lab_answers(), 60)
    healthy = seconds + until(lambda: server.restarted(part, started), 60)
    assert ada.is_in()
    assert ada.lab_answers()
    assert asyncio.run(knows(ada)) == "42 kept"
    assert server.workspaces() == before
    say(f"{part}: pages after {seconds:.1f} s, healthy after {healthy:.1f} s")
    assert seconds < 30


def is_open(port: int) -> bool:
    with socket.socket() as wire:
        return wire.connect_ex(("127.0.0.1", port)) == 0


def test_none_ends_a_connection_that_caddy_or_the_proxy_has_kept(server: Server) -> None:
    """A form that arrives at that moment would be lost; Caddy keeps a connection for 2 minutes."""
    inner, (_, proxy) = inner_ports(server.deployment), server.deployment.proxy_address
    doors = [inner["portal"], inner["portal_2"], inner["images_service"], proxy]
    # the hub, which was killed a moment ago, starts the image service after it says it is well
    until(lambda: all(map(is_open, doors)), 60)
    kept = [HTTPConnection("127.0.0.1", port, timeout=10) for port in doors]

    def ask(connection: HTTPConnection) -> int:
        connection.request("GET", "/", headers={"Host": server.deployment.front.domain})
        with connection.getresponse() as answer:
            answer.read()
            return answer.status

    before = [ask(each) for each in kept]
    for each in kept:
        each.auto_open = 0  # whoever is gone when it is asked again is an error
    time.sleep(7)  # the servers of portal and images, and the proxy, end them after 5 by themselves
    assert [ask(each) for each in kept] == before


async def test_a_kernel_s_websocket_outlives_a_restart_of_the_hub(
    server: Server, ada: Worker
) -> None:
    socket = await ada.connect()
    started = server.container("hub")["State"]["StartedAt"]
    await asyncio.to_thread(server.compose, "restart", "hub")
    assert await ada.run(socket, "print(answer)") == "42"
    socket.close()
    await asyncio.to_thread(until, lambda: server.restarted("hub", started), 60)


def test_a_restarted_database_under_load_is_an_error_of_seconds(
    server: Server, ada: Worker
) -> None:
    """F22: the window between the first answer that is wrong and the last."""
    wrong: list[float] = []
    codes: set[int] = set()
    right = 0
    stop = threading.Event()

    def ask() -> None:
        nonlocal right
        with server.browser(cookies=ada.client.cookies, timeout=20) as client:
            while not stop.is_set():
                try:
                    code = client.get(f"{PORTAL}api/v1/me").status_code
                except httpx.TransportError:
                    code = 0
                if code == 200:
                    right += 1
                else:
                    codes.add(code)
                    wrong.append(time.monotonic())
                time.sleep(0.02)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    started = server.container("postgres")["State"]["StartedAt"]
    server.kill("postgres")
    until(lambda: server.restarted("postgres", started), 60)
    time.sleep(2)
    stop.set()
    for thread in threads:
        thread.join()
    window = max(wrong) - min(wrong) if wrong else 0.0
    say(f"error window {window:.1f} s, {len(wrong)} of {len(wrong) + right} requests")
    # never a server error without words, never signed out
    assert codes <= {0, 502, 503}, server.unexpected()
    assert right > 20
    assert window < 8
    before = time.monotonic()
    until(ada.is_in, 8)
    say(f"home page again after {time.monotonic() - before:.1f} s")


def test_the_portal_sees_the_engine_and_has_no_socket_of_it(server: Server, ada: Worker) -> None:
    def seen() -> tuple[str, str]:
        engine = ada.client.get(f"{PORTAL}api/v1/machines").json()["engine"]
        return engine["problem"], engine["version"]

    # it counts what is on its disk, for too long after a build
    until(lambda: seen() == ("", server.engine.version()["Version"]), 60)


def test_what_was_saved_outlives_the_image_server_and_goes_on_in_another_workspace(
    server: Server, ada: Worker
) -> None:
    engine = server.engine
    main = server.workspaces()[0]
    write = engine.exec_create(main, ["sh", "-c", "echo ours > /usr/local/share/tool"])
    engine.exec_start(write["Id"])
    saved = ada.api("POST", "workspaces/study/checkpoints", {"name": "with our tool"})

    def state() -> str:
        return str(ada.api("GET", f"checkpoints/{saved['id']}")["state"])

    until(lambda: state() in ("done", "failed"), 300)
    assert state() == "done", ada.api("GET", f"checkpoints/{saved['id']}")
    started = server.container("images")["State"]["StartedAt"]
    server.compose("restart", "images")
    until(lambda: server.restarted("images", started), 60)
    ada.api("POST", f"checkpoints/{saved['id']}/start", {"workspace": "again"})

    def states() -> dict[str, str]:
        return {each["name"]: each["state"] for each in ada.api("GET", "workspaces")["workspaces"]}

    until(lambda: states().get("again") in ("running", "failed"), 180)
    assert states()["again"] == "running"
    tools = []
    for each in server.workspaces():
        read = engine.exec_create(each, ["cat", "/usr/local/share/tool"])
        tools.append(engine.exec_start(read["Id"]))
    assert tools.count(b"ours\n") == 2


def test_a_backup_is_made_in_the_running_platform(server: Server, ada: Worker) -> None:
    said = server.compose("exec", "-T", "hub", "petrihub", "backup")
    name = said.strip().rpartition("/")[2]
    about = json.loads((server.folder / "backups" / name / "backup.json").read_text())
    assert about["rows"]["petrihub"]["people"] == 1
    assert about["rows"]["jupyterhub"]["users"] == 1


def test_init_again_keeps_what_is_there(server: Server) -> None:
    kept = {
        file: file.read_bytes()
        for file in (*(server.folder / "secrets").iterdir(), server.folder / "petrihub.toml")
    }
    (server.folder / "compose.yaml").write_text("")
    server.init()
    assert "services:" in (server.folder / "compose.yaml").read_text()
    assert {file: file.read_bytes() for file in kept} == kept
