"""Fixtures of the spawner's tests.

deployment        a Deployment in a fresh state folder, backend local
pod               makes pods of the stand-in program for the local backend
local_bench       the local backend, set up for the contract; nothing survives the test
studio            the stand-in program in the place of the studio environment
hub               a real JupyterHub process with our local spawner, and ada as its user
idle_hub          the same, to be started by the test
new_hub           makes such a hub for any deployment
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from petrihub_core.database import migrate
from petrihub_core.deployment import Deployment, read_deployment
from petrihub_core.people import LOCAL_ISSUER, person_for
from petrihub_core.ports import free_port
from petrihub_core.records import new_id
from petrihub_spawner.backends.local_runner import LocalRunner
from petrihub_spawner.backends.runners import make_runner
from petrihub_spawner.contract import fresh_intent, until
from petrihub_spawner.foundation import lay
from petrihub_spawner.hub_servers import HubServers
from petrihub_spawner.pod.model import (
    Container,
    Door,
    Mount,
    PodRef,
    Resources,
    Volume,
    WorkspacePod,
)
from petrihub_spawner.reconcile import Reconciler, Round
from petrihub_spawner.runner import Runner, Silent

STAND_IN = Path(__file__).with_name("stand_in.py")
HUB_CONFIG = Path(__file__).with_name("hub_config.py")


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    state = tmp_path / "state"
    state.mkdir()
    return Deployment(state=state)


@dataclass
class LocalBench:
    silent = Silent()
    deployment: Deployment
    runner: LocalRunner = field(init=False)

    def __post_init__(self) -> None:
        self.runner = self.another_runner()

    def another_runner(self, *, deployment: str | None = None) -> LocalRunner:
        return LocalRunner(deployment or self.deployment.id, self.deployment.logs)

    def pod(
        self, person: str, workspace: str, *, mode: str = "", deployment: str = ""
    ) -> WorkspacePod:
        home = str(self.deployment.homes / person)
        port = free_port()
        return WorkspacePod(
            ref=PodRef(
                deployment=deployment or self.deployment.id, person=person, workspace=workspace
            ),
            intent=fresh_intent(),
            main=Container(
                name="main",
                command=(sys.executable, str(STAND_IN), mode),
                environment={"HOME": home, "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}/"},
                secrets={"JUPYTERHUB_API_TOKEN": "a-token"},
                mounts=(Mount(volume="home", path=home),),
                resources=Resources(cpu=1, memory_bytes=2**28, pids=64),
                working_dir=home,
            ),
            door=Door(port=port, ready_path="/api"),
            volumes=(Volume(name="home", external=f"home-{person}"),),
            start_timeout=30,
            stop_grace=5,
        )


@pytest.fixture
async def local_bench(deployment: Deployment) -> AsyncIterator[LocalBench]:
    bench = LocalBench(deployment)
    yield bench
    await bench.runner.remove(await bench.runner.find(), grace=0)


@pytest.fixture
def pod(local_bench: LocalBench) -> Callable[..., WorkspacePod]:
    return local_bench.pod


class Hub:
    """A real JupyterHub on the deployment, to be killed and started again."""

    silent = Silent()

    def __init__(self, deployment: Deployment, *, listen_at: str = "127.0.0.1") -> None:
        self.deployment = deployment
        self.foundation = lay(deployment, new_id())
        self._environment = {
            "PATH": os.environ["PATH"],
            "PETRIHUB_CONFIG": str(write_config(deployment)),
            "TEST_HUB_TOKEN": "tester-" + new_id(),
            "TEST_HUB_PORT": str(free_port()),
            "TEST_HUB_IP": listen_at,
            "TEST_APPS": str(deployment.state / "apps"),
        }
        self._process: asyncio.subprocess.Process | None = None
        self.log = deployment.state / "hub.log"

    @property
    def url(self) -> str:
        return "http://{TEST_HUB_IP}:{TEST_HUB_PORT}/hub".format(**self._environment)

    async def start(self, *, failpoint: str = "") -> None:
        """Run a new life of the hub; returns when it answers."""
        self.foundation = lay(self.deployment, new_id())
        self._environment |= {
            "PETRIHUB_BOOT": self.foundation.intents.boot,
            "PETRIHUB_FAILPOINT": failpoint,
        }
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "jupyterhub", "-f", str(HUB_CONFIG)),
                cwd=self.deployment.state,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await until(self.answers, patience=180)
        await self.ask("POST", "users/ada")

    async def answers(self) -> bool:
        assert self._process
        assert self._process.returncode is None, self.log.read_text()
        try:
            return (await self.ask("GET", "")).status_code == 200
        except httpx.TransportError:
            return False

    def _client(self) -> httpx.AsyncClient:
        headers = {"Authorization": "token " + self._environment["TEST_HUB_TOKEN"]}
        return httpx.AsyncClient(trust_env=False, timeout=120, headers=headers)

    async def ask(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        """Call the hub's API."""
        async with self._client() as client:
            url = f"{self.url}/api/{path}"
            return await client.request(method, url, json=body, params=query or None)

    async def begin(self, user: str, workspace: str, options: Any = None) -> httpx.Response:
        """Ask for a start; returns as soon as the hub has taken it, or has died of it."""
        body = {"profile": "notebooks", "size": "small"} if options is None else options
        try:
            return await self.ask("POST", f"users/{user}/servers/{workspace}", body)
        except httpx.TransportError:
            return httpx.Response(503)  # it died of it

    async def server(self, user: str, workspace: str) -> dict[str, Any]:
        """What the hub says about a workspace; empty if it does not know it."""
        model = (await self.ask("GET", f"users/{user}")).json()
        found: dict[str, Any] = model.get("servers", {}).get(workspace, {})
        return found

    async def events(
        self, user: str, workspace: str, *, heard: Callable[[], object] = lambda: None
    ) -> list[dict[str, Any]]:
        """The progress of a start, to its end; `heard` is called with each piece."""
        found: list[dict[str, Any]] = []
        path = f"users/{user}/servers/{workspace}/progress"

        async def told() -> bool:
            async with (
                self._client() as client,
                client.stream("GET", f"{self.url}/api/{path}") as it,
            ):
                # JupyterHub says 400 for a moment between a failure and its being on record
                if it.status_code != 200:
                    return False
                async for line in it.aiter_lines():
                    if line.startswith("data:"):
                        found.append(json.loads(line.removeprefix("data:")))
                        heard()
            return True

        await until(told)
        return found

    async def ready(self, user: str, workspace: str) -> None:
        """Start it and wait until it is ready."""

        async def taken() -> bool:
            # JupyterHub says 400 while it puts away one that has died
            return (await self.begin(user, workspace)).status_code in (201, 202)

        await until(taken)
        events = await self.events(user, workspace)
        assert events[-1].get("ready"), events

    async def begin_stop(self, user: str, workspace: str) -> None:
        """Ask for a stop; the hub may die of it."""
        with contextlib.suppress(httpx.TransportError):
            await self.ask("DELETE", f"users/{user}/servers/{workspace}")

    async def as_workspace(self, token: str) -> httpx.Response:
        """What the hub answers to a workspace's own token."""
        async with httpx.AsyncClient(trust_env=False) as client:
            headers = {"Authorization": f"token {token}"}
            return await client.get(f"{self.url}/api/user", headers=headers)

    async def stop(self, user: str, workspace: str) -> None:
        """Stop it and wait until it is stopped."""
        await self.begin_stop(user, workspace)

        async def stopped() -> bool:
            return not await self.server(user, workspace)

        await until(stopped)

    async def died(self) -> None:
        """Wait until a fail point has killed the hub."""
        assert self._process
        async with asyncio.timeout(60):
            assert await self._process.wait() == -signal.SIGKILL

    async def kill(self) -> None:
        """End it without a chance to tidy up."""
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def settled(self) -> None:
        """Wait until the hub has checked what it found after its start."""

        async def no_checks() -> bool:
            people = (await self.ask("GET", "users")).json()
            servers = [s for person in people for s in (person.get("servers") or {}).values()]
            return not any(server["pending"] for server in servers)

        await until(no_checks)

    def runner(self) -> Runner:
        """A runner that did not start anything itself."""
        return make_runner(self.deployment)

    async def reconcile(self) -> Round:
        """One round of the reconciler of this life."""
        servers = HubServers(f"{self.url}/api", self._environment["TEST_HUB_TOKEN"])
        try:
            return await Reconciler(self.foundation, make_runner(self.deployment), servers).once()
        finally:
            await servers.close()


def write_config(deployment: Deployment) -> Path:
    """The deployment as a file, for a hub process to read."""
    config = deployment.state.parent / "petrihub.toml"
    docker = deployment.docker
    subnet = f'hub_subnet = "{docker.hub_subnet}"\n' if docker.hub_subnet else ""
    config.write_text(
        f'backend = "{deployment.backend}"\nstate = "state"\n'
        "[workspaces]\nstart_timeout = 60\nstop_grace = 3\n"
        f'[docker]\nsocket = "{docker.socket}"\n'
        f'network_pool = "{docker.network_pool}"\n{subnet}{_storage(deployment)}'
    )
    return config


def _storage(deployment: Deployment) -> str:
    sftp = deployment.storage.sftp
    if sftp is None:
        return ""
    return (
        f'[storage]\ncarrier = "sftp"\n[storage.sftp]\nhost = "{sftp.host}"\n'
        f'port = {sftp.port}\nhost_key = "{sftp.host_key}"\n'
    )


@pytest.fixture
def studio(deployment: Deployment) -> Path:
    folder = deployment.environments / "studio" / "bin"
    folder.mkdir(parents=True)
    program = folder / "jupyterhub-singleuser"
    program.write_text(f"#!{sys.executable}\n{STAND_IN.read_text()}")
    program.chmod(0o755)
    return folder


@pytest.fixture
async def new_hub() -> AsyncIterator[Callable[..., Awaitable[Hub]]]:
    made: list[Hub] = []

    async def make(deployment: Deployment, *, listen_at: str = "127.0.0.1") -> Hub:
        await migrate(deployment.database_url)
        hub = Hub(read_deployment(write_config(deployment)), listen_at=listen_at)
        made.append(hub)
        async with hub.foundation.database.session() as session:
            await person_for(session, LOCAL_ISSUER, "ada", username="ada")
        return hub

    yield make
    for hub in made:
        await hub.kill()
        runner = hub.runner()
        await runner.remove(await runner.find(), grace=0)


@pytest.fixture
async def idle_hub(
    new_hub: Callable[..., Awaitable[Hub]], deployment: Deployment, studio: Path
) -> Hub:
    return await new_hub(deployment)


@pytest.fixture
async def hub(idle_hub: Hub) -> Hub:
    await idle_hub.start()
    return idle_hub
