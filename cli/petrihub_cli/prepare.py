"""What must be in place before the hub starts: proxy, local environments, database."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from petrihub_cli.product import ROOT, npm_ci
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Unavailable

Say = Callable[[str], None]

_STAMP = ".petrihub-made-from"
_STUDIO = ("images/base/studio.txt", "images/bio/analysis.txt")
_CELLXGENE = ("images/bio/cellxgene.txt",)
_SHINY = "images/bio/rootfs/usr/local/bin/petrihub-shiny"
_MEND_CELLXGENE = "images/bio/mend-cellxgene"


def _fingerprint(files: Iterable[Path]) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for file in sorted(files):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _is_made(folder: Path, fingerprint: str) -> bool:
    stamp = folder / _STAMP
    return stamp.exists() and stamp.read_text() == fingerprint


def _run(command: list[str | Path], log: Path, what: str) -> None:
    """Run to the end with output in `log`; raises `Unavailable` with the last lines of it."""
    with log.open("ab") as out:
        code = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "VIRTUAL_ENV": ""},
            check=False,
        ).returncode
    if code != 0:
        raise _failed(what, log)


def _failed(what: str, log: Path) -> Unavailable:
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
    return Unavailable(f"{what} did not succeed:\n{tail}", hint=f"The whole log: {log}")


def proxy(deployment: Deployment, say: Say) -> None:
    """The routing proxy in the state folder."""
    install_proxy(deployment.state / "proxy", deployment.logs / "proxy-install.log", say)


def install_proxy(folder: Path, log: Path, say: Say) -> None:
    """The routing proxy in `folder`, exactly as its lock file says; does nothing if it is there."""
    source = ROOT / "deploy" / "proxy"
    fingerprint = _fingerprint(source.glob("*.json"))
    if _is_made(folder, fingerprint):
        return
    say("Installing the routing proxy")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("node_modules"))
    log.parent.mkdir(parents=True, exist_ok=True)
    if npm_ci(folder, log) != 0:
        raise _failed("Installing the routing proxy", log)
    (folder / _STAMP).write_text(fingerprint)


def _uv() -> str:
    found = shutil.which(
        "uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if found is None:
        raise Unavailable("The tool `uv` is not installed.", hint="Run scripts/up, which adds it.")
    return found


def _environment(
    folder: Path, requirements: tuple[str, ...], extras: list[Path], log: Path
) -> None:
    """A fresh Python environment in `folder`; the old one stays until the new one is whole."""
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    what = f"Making the Python environment {folder.name!r}"
    # relocatable: the environment is made beside the old one and moved into its place
    # the requirement files are locked for 3.11; uv finds or brings one where ours is newer
    python = sys.executable if sys.version_info[:2] == (3, 11) else "3.11"
    _run([_uv(), "venv", "--relocatable", "--python", python, fresh], log, what)
    install: list[str | Path] = [_uv(), "pip", "install", "--python", fresh / "bin" / "python"]
    for requirement in requirements:
        install += ["--requirement", ROOT / requirement]
    _run([*install, *extras], log, what)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def _files(folder: Path) -> list[Path]:
    """The files of a folder without what builds leave in it."""
    skipped = {"node_modules", "lib", "labextension", "__pycache__", "dist"}
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not skipped.intersection(path.relative_to(ROOT).parts)
        and path.suffix != ".tsbuildinfo"
    ]


def _extension_wheel(folder: Path, log: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    _run(
        [_uv(), "build", "--wheel", "--out-dir", folder, ROOT / "extensions"],
        log,
        "Building the JupyterLab extension",
    )
    return next(folder.glob("*.whl"))


def local_environments(deployment: Deployment, say: Say) -> None:
    """The Python environments that workspaces on this machine use: studio and CELLxGENE."""
    deployment.environments.mkdir(parents=True, exist_ok=True)
    log = deployment.logs / "environments.log"

    studio = deployment.environments / "studio"
    welcome = _files(ROOT / "catalog" / "notebooks")
    sources = [ROOT / name for name in (*_STUDIO, _SHINY)]
    sources += [*_files(ROOT / "extensions"), *welcome]
    fingerprint = _fingerprint(sources)
    if not _is_made(studio, fingerprint):
        say("Building the JupyterLab extension")
        wheel = _extension_wheel(deployment.environments / "wheels", log)
        say("Installing JupyterLab and the analysis packages (several minutes on first use)")
        _environment(studio, _STUDIO, [wheel], log)
        _add_r(studio, log)
        shutil.copytree(ROOT / "catalog" / "notebooks", studio / "share/petrihub/welcome")
        (studio / _STAMP).write_text(fingerprint)

    cellxgene = deployment.environments / "cellxgene"
    fingerprint = _fingerprint(ROOT / name for name in (*_CELLXGENE, _MEND_CELLXGENE))
    if not _is_made(cellxgene, fingerprint):
        say("Installing CELLxGENE")
        _environment(cellxgene, _CELLXGENE, [], log)
        _run([ROOT / _MEND_CELLXGENE, cellxgene], log, "Preparing CELLxGENE")
        (cellxgene / _STAMP).write_text(fingerprint)


def _add_r(studio: Path, log: Path) -> None:
    """Make this machine's R a kernel and its Shiny an app, where R has the packages for it.

    What it lacks stays away, so that the launcher greys it instead of showing a broken tile.
    """
    rscript = shutil.which("Rscript")
    if rscript is None:
        return
    environment = {**os.environ, "PATH": f"{studio / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def holds(expression: str) -> bool:
        with log.open("ab") as out:
            return not subprocess.run(
                [rscript, "--vanilla", "-e", expression],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode

    holds(f"IRkernel::installspec(user = FALSE, prefix = {str(studio)!r})")
    if holds("library(shiny)"):
        shutil.copy2(ROOT / _SHINY, studio / "bin")
