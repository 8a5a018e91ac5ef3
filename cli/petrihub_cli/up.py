"""`petrihub up`: a whole platform on one machine, from nothing to ready."""

import asyncio
import fcntl
import signal
import webbrowser
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from petrihub_authenticators.bootstrap import admin_exists, first_admin_link
from petrihub_cli import prepare
from petrihub_cli.engine import Engine, ensure_engine, find_engine, stop_engine
from petrihub_cli.front_process import running_front
from petrihub_cli.hub_process import HubProcess
from petrihub_cli.image_server import running_image_server
from petrihub_cli.images.build import build_images
from petrihub_cli.state import open_state
from petrihub_cli.upgrade import bring_up_to_date
from petrihub_core.addresses import TRUSTED_ONLY
from petrihub_core.deployment import Deployment, read_deployment
from petrihub_core.errors import ConfigError, Conflict, PetriHubError
from petrihub_core.ports import port_is_free

_READY_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the person asked for on the command line; None means: as the file says."""

    state: Path
    backend: str | None = None
    port: int | None = None
    browser: bool = True
    ca_bundle: Path | None = None


@contextmanager
def _only_one(deployment: Deployment) -> Iterator[None]:
    """Hold the state folder; raises `Conflict` if another `petrihub up` holds it."""
    deployment.state.mkdir(parents=True, exist_ok=True)
    with (deployment.state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise Conflict(
                f"PetriHub is already running from {deployment.state}.",
                hint=f"Open {deployment.public_url}, or use another folder with --state.",
            ) from exc
        yield


def _sayer(console: Console) -> prepare.Say:
    return lambda text: console.print(f"[dim]·[/dim] {text}")


@asynccontextmanager
async def _engine(deployment: Deployment, console: Console) -> AsyncIterator[Engine | None]:
    """The Docker engine to use; one that was started for this run is stopped at its end."""
    if deployment.backend != "docker":
        yield None
        return
    before = await find_engine(deployment.docker.socket)
    engine = before or await ensure_engine(
        deployment.docker.socket, install=True, progress=_sayer(console)
    )
    try:
        yield engine
    finally:
        if before is None:
            await stop_engine()


async def _prepare(
    deployment: Deployment, wishes: Wishes, engine: Engine | None, console: Console
) -> None:
    say = _sayer(console)
    await asyncio.to_thread(prepare.proxy, deployment, say)
    await bring_up_to_date(deployment, say)
    if engine is not None:
        await build_images(
            deployment, engine=engine, names=(), ca_bundle=wishes.ca_bundle, console=console
        )
        return
    say(
        "Workspaces run as this account: for one person, or people who trust each other. "
        "To keep people apart: --backend docker"
    )
    await asyncio.to_thread(prepare.local_environments, deployment, say)


async def _announce(deployment: Deployment, wishes: Wishes, console: Console) -> None:
    console.print(f"PetriHub is ready: {deployment.public_url}")
    if deployment.front.kind != "none" and not deployment.front.origins:
        _sayer(console)(f"{TRUSTED_ONLY} For others: front.subdomains = true")
    to_open = deployment.public_url
    if not await admin_exists(deployment):
        with suppress(Conflict):  # somebody became the first admin in this very moment
            to_open = await first_admin_link(deployment)
            console.print(f"First admin: {to_open}")
    if wishes.browser:
        await asyncio.to_thread(webbrowser.open, to_open)


async def _serve(hub: HubProcess, deployment: Deployment, wishes: Wishes, console: Console) -> int:
    """Until somebody presses Ctrl-C: 0; until the hub ends by itself: its exit code."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)

    async def serving() -> int:
        await hub.ready(_READY_SECONDS)
        await _announce(deployment, wishes, console)
        return await hub.wait() or 1

    tasks = [asyncio.create_task(asked.wait()), asyncio.create_task(serving())]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return 0 if tasks[0] in done else int(tasks[1].result())


async def up(wishes: Wishes, console: Console) -> int:
    """Prepare, run until asked to stop, stop what was started; the exit code."""
    config = open_state(wishes.state, backend=wishes.backend, port=wishes.port)
    deployment = read_deployment(config)
    if deployment.parts == "apart":
        raise ConfigError(
            f"The PetriHub in {deployment.state} runs as containers.",
            hint=f"Run: cd {deployment.state} && docker-compose up -d",
        )
    with _only_one(deployment):
        hub = HubProcess(deployment, config)
        if await asyncio.to_thread(hub.end_abandoned):
            console.print("[dim]·[/dim] Took over from a hub that was left behind")
        host, port = deployment.proxy_address
        if not port_is_free(host, port):
            raise Conflict(
                f"Port {port} on {host} is taken by another program.",
                hint="Choose another with --port.",
            )
        deployment.logs.mkdir(parents=True, exist_ok=True)
        async with _engine(deployment, console) as engine:
            await _prepare(deployment, wishes, engine, console)
            say = _sayer(console)
            async with (
                running_front(deployment, say),
                running_image_server(deployment, engine, say),
            ):
                hub.start({"DOCKER_HOST": engine.url} if engine else {})
                try:
                    code = await _serve(hub, deployment, wishes, console)
                    console.print("Stopping PetriHub")
                finally:
                    await hub.stop()
        if code:
            raise PetriHubError("The hub ended by itself.", hint=f"Its log: {hub.log}")
        return code
