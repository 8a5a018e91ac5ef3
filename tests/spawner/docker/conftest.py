"""Fixtures of the tests that need a Docker engine.

engine_socket     the private engine, started if it does not run
stand_in_image    id of a small image with Python and the stand-in program, made without a registry
docker_deployment a Deployment with backend docker on that engine, in networks of its own
docker_bench      the Docker backend, set up for the contract; nothing survives the test
docker_hub        a real JupyterHub process with our Docker spawner, and ada as its user
idle_docker_hub   the same, to be started by the test
"""

import asyncio
import hashlib
import inspect
import io
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

import docker
import pytest

from petrihub_cli.engine import ensure_engine
from petrihub_core.deployment import Deployment, DockerSection
from petrihub_core.errors import PetriHubError
from petrihub_core.images import register_image
from petrihub_spawner.backends.docker_runner import DockerRunner
from petrihub_spawner.backends.networks import ensure_hub_network, networks_of_this_machine
from petrihub_spawner.contract import fresh_intent
from petrihub_spawner.pod.model import (
    Container,
    Door,
    Mount,
    PodRef,
    Resources,
    Volume,
    WorkspacePod,
)
from petrihub_spawner.runner import Silent

from tests.platform import remove_everything

STAND_IN = Path(__file__).parents[1] / "stand_in.py"
HOME = "/home/researcher"
PYTHON = f"{sys.base_prefix}/bin/python{sysconfig.get_python_version()}"  # in the stand-in's image


@pytest.fixture(scope="session")
def engine_socket() -> str:
    try:
        return asyncio.run(ensure_engine(private=True)).socket
    except PetriHubError as exc:
        pytest.skip(exc.jupyterhub_message)


def program_files() -> Iterator[Path]:
    """This Python, its standard library, and the system's libraries that they are linked to."""
    python = Path(sys.base_prefix) / "bin" / f"python{sysconfig.get_python_version()}"
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    modules = [
        path
        for path in library.rglob("*")
        if path.is_file()
        and not {"site-packages", "test", "tests", "idlelib", "__pycache__"} & set(path.parts)
        and not path.parts[len(library.parts)].startswith(("config-", "lib2to3", "ensurepip"))
    ]
    linked = [python, *(path for path in modules if path.suffix == ".so")]
    said = subprocess.run(["ldd", *linked], capture_output=True, text=True, check=False).stdout
    libraries = {Path(name) for name in re.findall(r"(/\S+\.so\S*)(?= \()", said)}
    yield from (python, *modules, *sorted(libraries))


def rootfs() -> bytes:
    """A file system with nothing but Python, the stand-in and a home of user 1000."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path in program_files():
            tar.add(path.resolve(), arcname=str(path).lstrip("/"))
        program = f"#!{sys.base_prefix}/bin/python{sysconfig.get_python_version()}\n"
        for name, text, mode in (
            ("usr/bin/jupyterhub-singleuser", program + STAND_IN.read_text(), 0o755),
            ("etc/passwd", f"researcher:x:1000:1000::{HOME}:/bin/sh\n", 0o644),
            ("etc/group", "researcher:x:1000:\n", 0o644),
        ):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text.encode()), mode
            tar.addfile(entry, io.BytesIO(text.encode()))
        for name, owner in ((HOME.lstrip("/"), 1000), ("tmp", 0)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if owner == 0 else 0o755
            entry.uid = entry.gid = owner
            tar.addfile(entry)
    return content.getvalue()


@pytest.fixture(scope="session")
def stand_in_image(engine_socket: str) -> str:
    client = docker.APIClient(base_url=f"unix://{engine_socket}", version="auto", timeout=120)
    made_by = inspect.getsource(program_files) + inspect.getsource(rootfs) + sys.version
    mark = hashlib.sha256(STAND_IN.read_bytes() + made_by.encode()).hexdigest()[:12]
    name = f"petrihub/stand-in:{mark}"
    if not client.images(name=name):
        for outdated in client.images(name="petrihub/stand-in", quiet=True):
            client.remove_image(outdated, force=True)
        client.import_image_from_data(
            rootfs(),
            repository="petrihub/stand-in",
            tag=mark,
            changes=[f"ENV HOME={HOME}", "ENV PATH=/usr/bin"],
        )
    return str(client.inspect_image(name)["Id"])


@pytest.fixture
def docker_deployment(tmp_path: Path, engine_socket: str) -> Deployment:
    taken = networks_of_this_machine()
    free = next(
        network
        for network in IPv4Network("10.218.0.0/16").subnets(new_prefix=24)
        if not any(network.overlaps(other) for other in taken)
    )
    state = tmp_path / "state"
    state.mkdir()
    return Deployment(
        state=state,
        backend="docker",
        docker=DockerSection(
            socket=engine_socket, hub_subnet=free, network_pool=IPv4Network("10.219.0.0/16")
        ),
    )


@dataclass
class DockerBench:
    silent = Silent()
    deployment: Deployment
    image: str
    runner: DockerRunner = field(init=False)

    def __post_init__(self) -> None:
        self.runner = self.another_runner()

    def another_runner(self, *, deployment: str | None = None) -> DockerRunner:
        mine = self.deployment
        other = Deployment(
            state=mine.state.parent / str(deployment), backend="docker", docker=mine.docker
        )
        return DockerRunner(other if deployment else mine)

    def pod(self, person: str, workspace: str, *, mode: str = "") -> WorkspacePod:
        return WorkspacePod(
            ref=PodRef(deployment=self.deployment.id, person=person, workspace=workspace),
            intent=fresh_intent(),
            main=Container(
                name="main",
                image=self.image,
                command=("jupyterhub-singleuser", *([mode] if mode else [])),
                environment={"JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/"},
                secrets={"JUPYTERHUB_API_TOKEN": "a-token"},
                mounts=(Mount(volume="home", path=HOME),),
                resources=Resources(cpu=1, memory_bytes=96 * 2**20, pids=64),
                working_dir=HOME,
            ),
            door=Door(port=8888, ready_path="/api"),
            volumes=(Volume(name="home", external=f"home-{self.deployment.id}-{person}"),),
            start_timeout=60,
            stop_grace=5,
        )


def clear(deployment: Deployment) -> None:
    """Remove what tests made on the engine."""
    engine = docker.APIClient(base_url=f"unix://{deployment.docker.socket}", version="auto")
    remove_everything(engine, deployment.id)


@pytest.fixture(scope="session")
def client(engine_socket: str) -> docker.APIClient:
    """The engine, as its own command would ask it."""
    return docker.APIClient(base_url=f"unix://{engine_socket}", version="auto", timeout=180)


@pytest.fixture
async def docker_bench(
    docker_deployment: Deployment, stand_in_image: str
) -> AsyncIterator[DockerBench]:
    bench = DockerBench(docker_deployment, stand_in_image)
    yield bench
    await asyncio.to_thread(clear, docker_deployment)


@pytest.fixture
async def idle_docker_hub(new_hub, docker_deployment: Deployment, stand_in_image: str):
    gateway = await asyncio.to_thread(ensure_hub_network, docker_deployment)
    hub = await new_hub(docker_deployment, listen_at=gateway)
    async with hub.foundation.database.session() as session:
        await register_image(
            session,
            name="petrihub/base",
            digest=stand_in_image,
            size_bytes=1,
            apps=[],
            labels={},
        )
    yield hub
    await hub.kill()
    await asyncio.to_thread(clear, docker_deployment)


@pytest.fixture
async def docker_hub(idle_docker_hub):
    await idle_docker_hub.start()
    return idle_docker_hub
