"""The end of a hub that hangs: a stand-in, since the real one does so only on a full disk."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from petrihub_cli import hub_process
from petrihub_cli.hub_process import HubProcess
from petrihub_cli.state import open_state
from petrihub_core.deployment import read_deployment


@pytest.mark.parametrize(("place", "ends"), [("proxy", True), ("elsewhere", False)])
def test_a_hub_that_hangs_at_its_end_leaves_no_proxy_of_its_own_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, ends: bool
) -> None:
    monkeypatch.setattr(hub_process, "_STOP_SECONDS", 0.5)
    config = open_state(tmp_path / "state")
    deployment = read_deployment(config)
    hub = HubProcess(deployment, config)
    hangs = ["sh", "-c", "trap '' TERM; echo now; exec sleep 600"]
    hub._process = subprocess.Popen(hangs, stdout=subprocess.PIPE)
    assert hub._process.stdout is not None
    assert hub._process.stdout.readline() == b"now\n"
    sleeping = [sys.executable, "-c", "import time; time.sleep(600)", deployment.state / place]
    proxy = subprocess.Popen(sleeping)
    (deployment.state / "proxy.pid").write_text(str(proxy.pid))
    asyncio.run(hub.stop())
    ended = proxy.poll() is not None
    proxy.kill()
    proxy.wait()
    hub._process.stdout.close()
    assert hub._process.wait(10) == -signal.SIGKILL
    assert ended is ends
