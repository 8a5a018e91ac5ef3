"""Caddy as a child process: installed, configured, started, kept running, stopped."""

import asyncio
import json
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from petrihub_cli.front import Front, caddy_config
from petrihub_cli.prepare import Say
from petrihub_cli.state import inner_ports, portal_ports
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Conflict, Unavailable
from petrihub_core.logs import get_logger
from petrihub_portal.certificate_store import CertificateStore

log = get_logger(__name__)

_INSTALL = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "caddy"]
_ANSWER_SECONDS = 15.0
_STOP_SECONDS = 10.0
_PAUSE_SECONDS = 1.0  # before it is started again


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


def install_caddy(say: Say) -> Path:
    """The program; installs Debian's if we may. Raises `Unavailable` with the command to run."""
    found = shutil.which("caddy")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        say("Installing Caddy")
        subprocess.run(
            _INSTALL,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        found = shutil.which("caddy")
    if found is None:
        raise Unavailable(
            "[front] kind is caddy, but the program `caddy` is not installed.",
            hint=f"Install it with: sudo {' '.join(_INSTALL)}",
        )
    return Path(found)


class FrontProcess:
    """One run of Caddy for one deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._folder = deployment.state / "front"
        self._record = self._folder / "process.json"
        self.log = deployment.logs / "front.log"
        self._program = Path("caddy")
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: asyncio.Task[None] | None = None

    def end_abandoned(self) -> None:
        """Kill a Caddy that an earlier run left behind."""
        try:
            known = json.loads(self._record.read_text())
            process = psutil.Process(known["pid"])
            if abs(process.create_time() - known["began"]) < 1:
                process.kill()
                process.wait(10)
        except (OSError, ValueError, KeyError, psutil.Error):
            return

    async def start(self, say: Say) -> None:
        """Start it with a certificate in place; it is started again whenever it ends."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._program = await asyncio.to_thread(install_caddy, say)
        chosen = self._deployment.front
        for port in (chosen.https_port, chosen.http_port):
            _require_port(chosen.listen, port)
        store = CertificateStore.of(self._deployment)
        try:
            await store.ensure()
        finally:
            await store.close()
        front = front_of(self._deployment)
        config = self._folder / "caddy.json"
        config.unlink(missing_ok=True)
        with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(caddy_config(front), file)
        await self._launch(config)
        self._keeper = asyncio.create_task(self._keep(config))

    def _spawn(self, config: Path) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as out:
            process = subprocess.Popen(
                [self._program, "run", "--config", str(config)],
                cwd=self._folder,
                env={"HOME": str(self._folder), "PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C goes to us, and we stop it last
            )
        began = psutil.Process(process.pid).create_time()
        self._record.write_text(json.dumps({"pid": process.pid, "began": began}))
        return process

    async def _launch(self, config: Path) -> None:
        self._process = self._spawn(config)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                while True:
                    if await self._answers():
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError as exc:
            raise self._does_not_start("Caddy does not answer") from exc

    async def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise self._does_not_start("Caddy ended before it answered")
        front = self._deployment.front
        try:
            _, writer = await asyncio.open_connection(*front.reached_at)
        except OSError:
            return False
        writer.close()
        return True

    def _does_not_start(self, what: str) -> Unavailable:
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])
        return Unavailable(f"{what}:\n{tail}", hint=f"The whole log: {self.log}")

    async def _keep(self, config: Path) -> None:
        while self._process is not None:
            code = await asyncio.to_thread(self._process.wait)
            log.error("Caddy ended and is started again", code=code)
            await asyncio.sleep(_PAUSE_SECONDS)
            try:
                await self._launch(config)
            except Unavailable:
                log.exception("Caddy does not start")

    async def stop(self) -> None:
        """Ask it to end, then insist."""
        if self._keeper is not None:
            self._keeper.cancel()
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.to_thread(self._process.wait)
        except TimeoutError:
            self._process.kill()
        self._record.unlink(missing_ok=True)


@asynccontextmanager
async def running_front(deployment: Deployment, say: Say) -> AsyncIterator[None]:
    """Caddy runs within the block, if [front] asks for it."""
    if deployment.front.kind != "caddy":
        yield
        return
    process = FrontProcess(deployment)
    await asyncio.to_thread(process.end_abandoned)
    try:
        await process.start(say)
        yield
    finally:
        await process.stop()


def _require_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except PermissionError as exc:
        raise Conflict(
            f"This account may not listen on port {port}.",
            hint=(
                "Run as root, or choose ports above 1023 in [front] https_port and http_port "
                "and let your router lead 443 and 80 to them."
            ),
        ) from exc
    except OSError as exc:
        raise Conflict(
            f"Port {port} is taken by another program, so the front cannot listen on it.",
            hint="End that program, or choose other ports in [front] of petrihub.toml.",
        ) from exc
