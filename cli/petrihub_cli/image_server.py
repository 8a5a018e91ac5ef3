"""The image server: Debian's registry and Caddy before it, as child processes."""

import asyncio
import json
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from petrihub_cli.engine import Engine
from petrihub_cli.image_front import ImageFront, image_front_config
from petrihub_cli.kept_process import KeptProcess, install_program, require_port
from petrihub_cli.prepare import Say
from petrihub_cli.state import inner_ports, portal_ports, write_privately
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Unavailable
from petrihub_core.image_server import (
    SERVICE,
    ImageServer,
    certificate_file,
    ensure_registry_key,
    forget_image_server,
    registry_config_file,
    write_image_server,
)

REGISTRY_SECRET = "registry_secret"  # noqa: S105 - the name of a file
_REGISTRY = "docker-registry"
_SYSTEMD = Path("/run/systemd/system")
_LOOPBACK = "127.0.0.1"
_WHY = "Checkpoints need the program `{}`, which is not installed."
_OTHER_PORT = "End that program, or remove ports.json in the state folder while nothing runs."


def registry_config(deployment: Deployment, folder: Path, address: str, realm: str) -> str:
    """The registry's configuration; JSON, which is YAML too."""
    secret = deployment.secrets / REGISTRY_SECRET
    if not secret.exists():
        write_privately(secret, secrets.token_hex(32))
    config: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(folder)},
            "delete": {"enabled": True},  # for us; the front lets nobody delete
            "redirect": {"disable": True},
        },
        "http": {
            "addr": address,
            "relativeurls": True,  # it is reached under two addresses
            "secret": secret.read_text().strip(),
        },
        "auth": {
            "token": {
                "realm": realm,
                "service": SERVICE,
                "issuer": SERVICE,
                "rootcertbundle": str(certificate_file(deployment)),
            }
        },
    }
    return json.dumps(config, indent=2)


def server_of(deployment: Deployment, gateway: str) -> ImageServer:
    """The addresses of the image server; `gateway` is the hub network's."""
    ports = inner_ports(deployment)
    return ImageServer(
        engine=f"{_LOOPBACK}:{ports['images']}",
        pods=f"http://{gateway}:{ports['images']}",
        registry=f"http://{_LOOPBACK}:{ports['registry']}",
        service=f"http://{_LOOPBACK}:{ports['images_service']}",
    )


@asynccontextmanager
async def running_image_server(
    deployment: Deployment, engine: Engine | None, say: Say
) -> AsyncIterator[None]:
    """Registry and front run within the block, where workspaces are containers.

    Where their programs cannot be had, PetriHub runs without checkpoints and says so.
    """
    forget_image_server(deployment)
    if engine is None:
        yield
        return
    try:
        for program, title in ((_REGISTRY, "the registry"), ("caddy", "Caddy")):
            await asyncio.to_thread(_install, program, title, say)
    except Unavailable as exc:
        say(exc.jupyterhub_message)
        yield
        return
    gateway = await asyncio.to_thread(_gateway, deployment, engine)
    async with serving(deployment, server_of(deployment, gateway)):
        yield


@asynccontextmanager
async def serving(deployment: Deployment, server: ImageServer) -> AsyncIterator[None]:
    """Registry and front run at these addresses within the block."""
    registry, front = registry_and_front(deployment, server)
    for process in (registry, front):
        await asyncio.to_thread(process.end_abandoned)
    for url in (server.registry, server.service, server.pods, server.loopback):
        require_port(*_host_port(url), _OTHER_PORT)
    try:
        await asyncio.to_thread(prepare, deployment, server, registry, front)
        await registry.start()
        await front.start()
        write_image_server(deployment, server)
        yield
    finally:
        forget_image_server(deployment)
        await front.stop()
        await registry.stop()


def _install(program: str, title: str, say: Say) -> None:
    if program == _REGISTRY and shutil.which(program) is None and _SYSTEMD.exists():
        # Debian's package would start one for the whole machine, which nobody asked for
        subprocess.run(["systemctl", "mask", _REGISTRY], check=False, capture_output=True)
    install_program(program, title, _WHY.format(program), say)


def _gateway(deployment: Deployment, engine: Engine) -> str:
    # the Docker client is an optional dependency
    from petrihub_spawner.backends.networks import ensure_hub_network

    docker = deployment.docker.model_copy(update={"socket": engine.socket})
    return ensure_hub_network(deployment.model_copy(update={"docker": docker}))


def registry_and_front(
    deployment: Deployment, server: ImageServer
) -> tuple[KeptProcess, KeptProcess]:
    """The two programs, not started yet; see `prepare`."""
    config = registry_config_file(deployment)
    folder = deployment.state / "images"
    registry = KeptProcess(
        title="The registry",
        command=[_REGISTRY, "serve", config],
        folder=config.parent,
        log=deployment.logs / "registry.log",
        answers_at=_host_port(server.registry),
    )
    front = KeptProcess(
        title="Caddy before the registry",
        command=["caddy", "run", "--config", folder / "front" / "caddy.json"],
        folder=folder / "front",
        log=deployment.logs / "registry-front.log",
        answers_at=_host_port(server.pods),
    )
    return registry, front


def prepare(
    deployment: Deployment, server: ImageServer, registry: KeptProcess, front: KeptProcess
) -> None:
    """Write keys and configurations; what nobody refers to any more is swept out."""
    ensure_registry_key(deployment)
    for process in (registry, front):
        process.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    storage = registry.folder / "storage"
    address = server.registry.removeprefix("http://")
    config = registry_config_file(deployment)
    write_privately(
        config, registry_config(deployment, storage, address, f"{server.loopback}/token")
    )
    if (storage / "docker/registry/v2/repositories").exists():
        _sweep(config, registry.log)
    write_privately(
        front.folder / "caddy.json",
        json.dumps(
            image_front_config(
                ImageFront(
                    engine=server.engine,
                    pods=server.pods.removeprefix("http://"),
                    registry=address,
                    service=server.service.removeprefix("http://"),
                    portals=tuple(f"{_LOOPBACK}:{port}" for port in portal_ports(deployment)),
                    storage=front.folder / "caddy",
                )
            )
        ),
    )


def _sweep(config: Path, log: Path) -> None:
    """Remove blobs of deleted checkpoints. Only while nothing is pushed, so before the start.

    A save that was under way loses what it had pushed so far, and pushes it again.
    """
    with log.open("ab") as out:
        code = subprocess.run(
            [_REGISTRY, "garbage-collect", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=out,
            check=False,
        ).returncode
        if code:
            out.write(f"Sweeping ended with exit code {code}; nothing depends on it.\n".encode())


def _host_port(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)
