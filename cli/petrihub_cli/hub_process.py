"""The hub as a child process: started, awaited, stopped; an abandoned earlier one is taken over."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil

from petrihub_cli.product import HUB_CONFIG
from petrihub_core.deployment import CONFIG_VARIABLE, Deployment
from petrihub_core.errors import Unavailable

_STOP_SECONDS = 60.0  # workspaces get their grace, then the hub ends by itself
_POLL_SECONDS = 0.1
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE")


class HubProcess:
    """One run of the hub for one deployment."""

    def __init__(self, deployment: Deployment, config: Path) -> None:
        self._deployment = deployment
        self._config = config
        self._record = deployment.state / "hub-process.json"
        self.log = deployment.logs / "hub.log"
        self._process: subprocess.Popen[bytes] | None = None

    def end_abandoned(self) -> bool:
        """Kill a hub and a proxy that an earlier run left behind; their workspaces live on.

        True if there was one. A pid alone proves nothing, since it may be another program's by now.
        """
        found = [each for each in (self._earlier_hub(), self._noted_proxy()) if each]
        for process in found:
            _kill(process)
        return bool(found)

    def _earlier_hub(self) -> psutil.Process | None:
        try:
            known = json.loads(self._record.read_text())
            process = psutil.Process(known["pid"])
            began: float = process.create_time()
            return process if abs(began - known["began"]) < 1 else None
        except (OSError, ValueError, KeyError, psutil.Error):
            return None

    def _noted_proxy(self) -> psutil.Process | None:
        """The proxy that the hub noted; it outlives a hub that was killed, and holds the port."""
        try:
            pid = (self._deployment.state / "proxy.pid").read_text().split()[0]
            process = psutil.Process(int(pid))
            ours = str(self._deployment.state / "proxy") in " ".join(process.cmdline())
            return process if ours else None
        except (OSError, ValueError, IndexError, psutil.Error):
            return None

    def start(self, more: dict[str, str]) -> None:
        """Start the hub with its output in `log`; the environment is built, plus `more`."""
        environment = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        environment |= {
            CONFIG_VARIABLE: str(self._config.resolve()),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}",
            "PYTHONUNBUFFERED": "1",
            **more,
        }
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "--config", HUB_CONFIG],
                cwd=self._deployment.state,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                # Ctrl-C goes to us, and we stop the hub in order
                start_new_session=True,
            )
        began = psutil.Process(self._process.pid).create_time()
        self._record.write_text(json.dumps({"pid": self._process.pid, "began": began}))

    def exit_code(self) -> int | None:
        """The hub's exit code; None while it runs."""
        return self._process.poll() if self._process else None

    async def ready(self, timeout_s: float) -> None:
        """Return when a browser would be answered; raises `Unavailable` with the log's end."""
        url = f"{self._deployment.proxy_url}/hub/health"
        async with asyncio.timeout(timeout_s), httpx.AsyncClient(trust_env=False) as client:
            while True:
                if self.exit_code() is not None:
                    raise self._died()
                try:
                    answer = await client.get(url)
                    if answer.status_code == httpx.codes.OK:
                        return
                except httpx.TransportError:
                    pass  # the proxy is not up yet
                await asyncio.sleep(_POLL_SECONDS)

    def _died(self) -> Unavailable:
        tail = self.log.read_text(errors="replace").splitlines()[-15:]
        return Unavailable(
            "The hub ended before it was ready. Its last lines:\n" + "\n".join(tail),
            hint=f"The whole log: {self.log}",
        )

    async def wait(self) -> int:
        """The exit code, once the hub has ended by itself."""
        while (code := self.exit_code()) is None:  # noqa: ASYNC110 - a child has no event to await
            await asyncio.sleep(0.5)
        return code

    async def stop(self) -> None:
        """Ask the hub to end in order, then insist; its proxy ends too."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self.wait()
        except TimeoutError:
            self._process.kill()
        # a hub that hangs, or that cannot write, has not ended it
        if (proxy := self._noted_proxy()) is not None:
            await asyncio.to_thread(_kill, proxy)
        self._record.unlink(missing_ok=True)


def _kill(process: psutil.Process) -> None:
    process.kill()
    process.wait(10)
