"""Caddy as a child process: installed, configured, started, kept running, stopped."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from petrihub_cli.front import Front, caddy_config
from petrihub_cli.kept_process import KeptProcess, install_program, require_port
from petrihub_cli.prepare import Say
from petrihub_cli.state import inner_ports, portal_ports, write_privately
from petrihub_core.deployment import Deployment
from petrihub_portal.certificate_store import CertificateStore

_OTHER_PORTS = "End that program, or choose other ports in [front] of petrihub.toml."


def front_of(deployment: Deployment) -> Front:
    """What Caddy must know in front of `petrihub up`; makes the unguessable word on first use."""
    chosen, ports = deployment.front, inner_ports(deployment)
    return Front(
        domain=chosen.domain,
        hub=f"127.0.0.1:{deployment.address.port}",
        portals=tuple(f"127.0.0.1:{port}" for port in portal_ports(deployment)),
        https_port=chosen.https_port,
        http_port=chosen.http_port,
        listen=chosen.listen,
        origins=chosen.origins,
        certificate=deployment.certificate_file,
        certificate_port=ports["front"],
        certificate_word=secrets.token_hex(32),
        storage=deployment.state / "front" / "caddy",
    )


@asynccontextmanager
async def running_front(deployment: Deployment, say: Say) -> AsyncIterator[None]:
    """Caddy runs within the block, if [front] asks for it."""
    if deployment.front.kind != "caddy":
        yield
        return
    folder = deployment.state / "front"
    config = folder / "caddy.json"
    caddy = KeptProcess(
        title="Caddy",
        command=["caddy", "run", "--config", config],
        folder=folder,
        log=deployment.logs / "front.log",
        answers_at=deployment.front.reached_at,
    )
    await asyncio.to_thread(caddy.end_abandoned)
    try:
        await _prepare(deployment, config, say)
        await caddy.start()
        yield
    finally:
        await caddy.stop()


async def _prepare(deployment: Deployment, config: Path, say: Say) -> None:
    """The program, free ports, a certificate and the configuration."""
    config.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    why = "[front] kind is caddy, but the program `caddy` is not installed."
    await asyncio.to_thread(install_program, "caddy", "Caddy", why, say)
    chosen = deployment.front
    for port in (chosen.https_port, chosen.http_port):
        require_port(chosen.listen, port, _OTHER_PORTS)
    store = CertificateStore.of(deployment)
    try:
        await store.ensure()
    finally:
        await store.close()
    write_privately(config, json.dumps(caddy_config(front_of(deployment))))
