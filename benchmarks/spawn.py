"""Start to ready, beside the stock spawner, in one run on the same machine and image.

Two hubs run side by side: JupyterHub with its stock spawner, and PetriHub. Starts alternate
(stock, ours, stock, ours, ...), so that a machine whose speed drifts drifts for both. Each start is
timed from the request to the hub's API until the hub says "ready". Then six starts at once on each,
and the memory of both idle hubs before the first start.

    .venv/bin/python benchmarks/spawn.py --backend local --state DIR [--rounds 5]

`DIR` is the state folder of a PetriHub that was started once with the same backend (its
environments or images are what both hubs run). Writes JSON, table and chart
into docs/benchmarks/.
"""

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from report import write_page, write_result

from petrihub_cli import prepare
from petrihub_cli.product import HUB_CONFIG, NODE
from petrihub_cli.state import inner_ports, keys, open_state
from petrihub_core.database import Database, migrate
from petrihub_core.deployment import Deployment, read_deployment
from petrihub_core.images import allowed_images
from petrihub_core.people import LOCAL_ISSUER, person_for
from petrihub_core.ports import free_ports

TOKEN = "benchmark-token-of-this-run-alone"
_LOOPBACK = "127.0.0.1"
PEOPLE = [f"bench{number}" for number in range(6)]
WORKSPACE = "bench"

ROLE = f"""
c.JupyterHub.services = [*c.JupyterHub.services, dict(name="bench", api_token="{TOKEN}")]
c.JupyterHub.load_roles = [*c.JupyterHub.load_roles, dict(name="bench", services=["bench"],
    scopes=["admin:users", "admin:servers", "list:users"])]
"""
STOCK = """
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/"
c.JupyterHub.hub_bind_url = "http://{hub_host}:{hub_port}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.allow_named_servers = True
c.JupyterHub.services = []
c.JupyterHub.load_roles = []
"""
STOCK_LOCAL = """
c.JupyterHub.spawner_class = "simple"
c.Spawner.cmd = [{studio!r}]
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
c.Spawner.args = ["--allow-root"]
"""
STOCK_DOCKER = """
c.JupyterHub.spawner_class = "docker"
c.DockerSpawner.image = {image!r}
c.DockerSpawner.cmd = ["jupyterhub-singleuser"]
c.DockerSpawner.remove = True
c.DockerSpawner.network_name = "bridge"
c.DockerSpawner.use_internal_ip = True
"""


@dataclass
class Hub:
    """A running hub that the benchmark asks for servers."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    options: dict[str, str]

    def memory_mib(self) -> float:
        """Resident memory of the hub process alone, in MiB."""
        return psutil.Process(self.process.pid).memory_info().rss / 2**20


async def settle(client: httpx.AsyncClient, hub: Hub, person: str, *, running: bool) -> None:
    """Return when the hub says that the server is ready, or is gone."""
    while True:
        user = (await client.get(f"{hub.url}/hub/api/users/{person}")).raise_for_status().json()
        server = user["servers"].get(WORKSPACE)
        if running and server and server["ready"]:
            return
        if not running and not server:
            return
        if running and not server:
            raise RuntimeError(f"{hub.name}: the server of {person} failed to start")
        await asyncio.sleep(0.02)


async def start(client: httpx.AsyncClient, hub: Hub, person: str) -> float:
    """Seconds from the request until the hub calls the server ready."""
    begun = time.perf_counter()
    path = f"{hub.url}/hub/api/users/{person}/servers/{WORKSPACE}"
    answer = (await client.post(path, json=hub.options)).raise_for_status()
    if answer.status_code != httpx.codes.CREATED:
        await settle(client, hub, person, running=True)
    return time.perf_counter() - begun


async def stop(client: httpx.AsyncClient, hub: Hub, person: str) -> None:
    """Stop and forget the server."""
    path = f"{hub.url}/hub/api/users/{person}/servers/{WORKSPACE}"
    (await client.request("DELETE", path, json={"remove": True})).raise_for_status()
    await settle(client, hub, person, running=False)


@contextmanager
def running(
    name: str, config: str, folder: Path, url: str, options: dict[str, str]
) -> Iterator[Hub]:
    """The hub with this configuration, ended at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.py").write_text("c = get_config()\n" + config)
    with (folder / "hub.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "--config", folder / "config.py"],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                if httpx.get(f"{url}/hub/health", trust_env=False).status_code == httpx.codes.OK:
                    break
            except httpx.TransportError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start: see {folder / 'hub.log'}")
            time.sleep(0.1)
        yield Hub(name, url, process, options)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(90)


async def measure(stock: Hub, ours: Hub, rounds: int) -> dict[str, object]:
    """All figures of the run."""
    headers = {"Authorization": f"token {TOKEN}"}
    async with httpx.AsyncClient(headers=headers, timeout=300, trust_env=False) as client:
        for hub in (stock, ours):
            for person in PEOPLE:
                await client.post(f"{hub.url}/hub/api/users/{person}")
        memory = {hub.name: round(hub.memory_mib(), 1) for hub in (stock, ours)}
        single: dict[str, list[float]] = {stock.name: [], ours.name: []}
        for number in range(rounds + 1):
            for hub in (stock, ours):
                seconds = await start(client, hub, PEOPLE[0])
                await stop(client, hub, PEOPLE[0])
                if number:  # the first round warms the page cache for both
                    single[hub.name].append(round(seconds, 3))
                print(f"{hub.name:9} {seconds:6.2f} s", flush=True)
        six: dict[str, list[float]] = {}
        for hub in (stock, ours):
            six[hub.name] = sorted(
                round(s, 2)
                for s in await asyncio.gather(*(start(client, hub, person) for person in PEOPLE))
            )
            await asyncio.gather(*(stop(client, hub, person) for person in PEOPLE))
            print(f"{hub.name:9} six at once: {six[hub.name]}", flush=True)
    pairs = [b / a for a, b in zip(single[stock.name], single[ours.name], strict=True)]
    return {
        "start_seconds": single,
        "start_ratio": round(statistics.median(pairs), 3),
        "six_at_once_seconds": six,
        "six_at_once_ratio": round(max(six[ours.name]) / max(six[stock.name]), 3),
        "idle_hub_mib": memory,
        "idle_hub_ratio": round(memory[ours.name] / memory[stock.name], 3),
    }


def bridge_gateway() -> str:
    """This machine on the engine's default bridge: where stock containers find the hub."""
    import docker

    network = docker.from_env().networks.get("bridge")
    address: str = network.attrs["IPAM"]["Config"][0]["Gateway"]
    return address


async def people_exist(deployment: Deployment) -> dict[str, str]:
    """Make the benchmark's people; the image digests on the allow-list."""
    await migrate(deployment.database_url)
    database = Database.open(deployment.database_url)
    async with database.session() as session:
        for person in PEOPLE:
            await person_for(session, LOCAL_ISSUER, person, username=person)
        images = {name: row.digest for name, row in (await allowed_images(session)).items()}
    await database.close()
    return images


@dataclass(frozen=True)
class Stand:
    """A state folder that is ready for a hub of ours, and the ports of the stock hub beside it."""

    deployment: Deployment
    port: int
    hub_port: int
    api_port: int

    @property
    def url(self) -> str:
        """Where browsers reach the stock hub."""
        return f"http://{_LOOPBACK}:{self.port}"

    def stock(self, hub_host: str = _LOOPBACK) -> str:
        """The stock hub's configuration, without its spawner's; it has the same routing proxy."""
        proxy = self.deployment.state / "proxy/node_modules/configurable-http-proxy/bin"
        return STOCK.format(
            port=self.port,
            hub_host=hub_host,
            hub_port=self.hub_port,
            api_port=self.api_port,
            proxy=[str(NODE), str(proxy / "configurable-http-proxy")],
        )


def make_stand(state: Path, backend: str) -> Stand:
    """Make the state folder ready; hubs that this process starts are of this deployment."""
    *stock_ports, our_port = free_ports(4)
    deployment = read_deployment(open_state(state, backend=backend, port=our_port))
    os.environ["PETRIHUB_CONFIG"] = str(state.resolve() / "petrihub.toml")
    keys(deployment)
    inner_ports(deployment)
    prepare.proxy(deployment, print)
    return Stand(deployment, *stock_ports)


def run(backend: str, state: Path, rounds: int) -> dict[str, object]:
    """Both hubs side by side; the figures."""
    stand = make_stand(state, backend)
    deployment = stand.deployment
    images = asyncio.run(people_exist(deployment))
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        config = stand.stock(_LOOPBACK if backend == "local" else bridge_gateway())
        if backend == "local":
            studio = deployment.environments / "studio/bin/jupyterhub-singleuser"
            config += STOCK_LOCAL.format(studio=str(studio), home=str(folder / "{username}"))
        else:
            config += STOCK_DOCKER.format(image=images["petrihub/bio"])
        stock = running("stock", config + ROLE, folder / "stock", stand.url, {})
        wish = {"profile": "bio-studio", "size": "medium"}
        ours = f"load_subconfig({str(HUB_CONFIG)!r})\n{ROLE}"
        petrihub = running("PetriHub", ours, folder / "ours", deployment.public_url, wish)
        return asyncio.run(
            measure(stack.enter_context(stock), stack.enter_context(petrihub), rounds)
        )


def main() -> None:
    """Run, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("local", "docker"), required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    load = os.getloadavg()
    result = run(chosen.backend, chosen.state, chosen.rounds)
    write_page(write_result(f"spawn-{chosen.backend}", result, load))


if __name__ == "__main__":
    main()
